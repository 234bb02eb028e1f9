"""Encrypted data can be decrypted with the same secret key and name only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from adapters.sealing import NONCE_BYTES, Seal, SealBroken

SEAL = Seal(SecretStr("a secret that only this test knows"))


@given(name=st.text(), content=st.binary())
def test_encrypted_data_can_be_decrypted(name: str, content: bytes) -> None:
    assert SEAL.open(name, SEAL.close(name, content)) == content


def test_encrypting_twice_gives_different_data() -> None:
    assert SEAL.close("key", b"content") != SEAL.close("key", b"content")


def test_decryption_fails_with_another_name() -> None:
    with pytest.raises(SealBroken, match=r"^other cannot be decrypted"):
        SEAL.open("other", SEAL.close("key", b"content"))


def test_decryption_fails_with_another_secret_key() -> None:
    with pytest.raises(SealBroken):
        Seal(SecretStr("another secret")).open("key", SEAL.close("key", b"content"))


@pytest.mark.parametrize("position", [0, 1, NONCE_BYTES + 1, -1])
def test_decryption_fails_after_one_bit_has_changed(position: int) -> None:
    sealed = bytearray(SEAL.close("key", b"content"))
    sealed[position] ^= 1

    with pytest.raises(SealBroken):
        SEAL.open("key", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(NONCE_BYTES), b"\x01" + bytes(NONCE_BYTES - 1)])
def test_decryption_of_too_short_data_fails(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        SEAL.open("key", sealed)


def test_derived_secrets_are_reproducible_and_differ_by_purpose() -> None:
    assert SEAL.derive("one") == SEAL.derive("one") != SEAL.derive("other")
    assert len(SEAL.derive("one")) == 32
