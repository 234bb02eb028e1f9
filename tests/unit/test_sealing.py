"""What is sealed opens with the same secret under the same name, and in no other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from adapters.sealing import NONCE_BYTES, Seal, SealBroken

SEAL = Seal(SecretStr("a secret that only this test knows"))


@given(name=st.text(), content=st.binary())
def test_what_is_sealed_opens_again(name: str, content: bytes) -> None:
    assert SEAL.open(name, SEAL.close(name, content)) == content


def test_sealing_twice_looks_different() -> None:
    assert SEAL.close("key", b"content") != SEAL.close("key", b"content")


def test_it_does_not_open_under_another_name() -> None:
    with pytest.raises(SealBroken, match=r"^other cannot be decrypted"):
        SEAL.open("other", SEAL.close("key", b"content"))


def test_it_does_not_open_with_another_secret() -> None:
    with pytest.raises(SealBroken):
        Seal(SecretStr("another secret")).open("key", SEAL.close("key", b"content"))


@pytest.mark.parametrize("position", [0, 1, NONCE_BYTES + 1, -1])
def test_it_does_not_open_when_one_bit_has_changed(position: int) -> None:
    sealed = bytearray(SEAL.close("key", b"content"))
    sealed[position] ^= 1

    with pytest.raises(SealBroken):
        SEAL.open("key", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(NONCE_BYTES), b"\x01" + bytes(NONCE_BYTES - 1)])
def test_what_is_too_short_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        SEAL.open("key", sealed)


def test_what_is_derived_can_be_derived_again_and_differs_by_purpose() -> None:
    assert SEAL.derive("one") == SEAL.derive("one") != SEAL.derive("other")
    assert len(SEAL.derive("one")) == 32
