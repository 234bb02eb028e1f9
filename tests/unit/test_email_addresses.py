"""One judge of e-mail addresses: a normal form with A-labels, and no address that counts as another person's."""
# ruff: noqa: RUF001  # letters of other scripts are what is tested

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from runtime.email_addresses import InvalidAddress, comparison_keys, fold, normal_form

LOCAL_PARTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs"], exclude_characters="@"), min_size=1, max_size=20
)


def key_of(stored: str) -> str:
    """The key of a stored address, as the index has it: see the migration of addresses."""
    nfkc = unicodedata.normalize("NFKC", stored)
    return "".join(character.lower() if character.isascii() else character for character in nfkc)


def are_the_same(stored: str, given: str) -> bool:
    return key_of(stored) in comparison_keys(given)


@pytest.mark.parametrize(("given", "expected"), [
    ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@BÜCHER.Example", "ada@xn--bcher-kva.example"),
    ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
    ("ADA@XN--BCHER-KVA.EXAMPLE", "ADA@xn--bcher-kva.example"),
    ("ada@faß.example", "ada@xn--fa-hia.example"),
    ("山田@例え.example", "山田@xn--r8jz45g.example"),
    ("ada@例え。example", "ada@xn--r8jz45g.example"),
    ("José@example.com", "josé@example.com"),
    ("jose\u0301@example.com", "josé@example.com"),
])  # fmt: skip
def test_an_address_has_a_labels_and_one_spelling_of_its_local_part(given: str, expected: str) -> None:
    assert normal_form(given) == normal_form(expected) == expected


@pytest.mark.parametrize(("stored", "given"), [
    ("kate@example.com", "Kate@EXAMPLE.com"),
    ("josé@example.com", "jose\u0301@example.com"),
    ("jose\u0301@example.com", "JOSÉ@example.com"),
    ("ada@xn--bcher-kva.example", "ada@bücher.example"),
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@bücher.example", "Ada@BU\u0308CHER.example"),
    ("JOSÉ@example.com", "JOSÉ@example.com"),
    ("ada@corp.local", "Ada@Corp.Local"),
])  # fmt: skip
def test_the_spellings_of_one_address_are_the_same_address(stored: str, given: str) -> None:
    assert are_the_same(stored, given)


@pytest.mark.parametrize("look_alike", [
    "\u212aate@example.com",       # Kelvin sign
    "\uff4bate@example.com",       # full-width k
    "kate@\u212aorp.example",
    "kate@example.\uff43om",
    "\u017fam@example.com",        # long s
    "o\ufb01ce@example.com",       # ligature fi
    "\u2170@example.com",          # Roman numeral
    "ka\u1d57e@example.com",       # superscript t
    "\U0001d424ate@example.com",   # mathematical bold k
    "kate\u2024a@example.com",     # one dot leader
    "kate\uff20example.com@evil.example",
    "a\u037eb@example.com",        # Greek question mark
])  # fmt: skip
def test_a_look_alike_of_ascii_is_refused_everywhere_with_its_name(look_alike: str) -> None:
    for judge in (normal_form, comparison_keys):
        with pytest.raises(InvalidAddress, match=r"U\+[0-9A-F]+ \(.+\), which looks like"):
            judge(look_alike)


@example(local="İnci")
@example(local="ıda")
@example(local="Straße")
@example(local="ŉ")
@example(local="\u1e9e")
@given(local=LOCAL_PARTS)
def test_no_other_character_becomes_an_ascii_letter(local: str) -> None:
    assume(not local.isascii())
    try:
        keys = comparison_keys(f"{local}@example.com")
    except InvalidAddress:
        return

    assert not any(key.isascii() for key in keys)
    for key in keys:
        ascii_of_key = [character for character in key.rpartition("@")[0] if character.isascii()]
        ascii_of_local = [character.lower() for character in local if character.isascii()]
        assert len(ascii_of_key) <= len(ascii_of_local)


@given(local=LOCAL_PARTS, domain=st.sampled_from(["example.com", "bücher.example", "例え.example"]))
def test_every_accepted_address_has_a_stable_normal_form_that_is_the_same_address(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    try:
        normal = normal_form(address)
    except InvalidAddress as refusal:
        assert str(refusal)  # noqa: PT017  # either outcome is right
        return

    assert normal_form(normal) == normal
    assert normal.rpartition("@")[2].isascii()
    assert are_the_same(normal, address)
    assert are_the_same(normal, unicodedata.normalize("NFD", address))


@given(st.text())
def test_every_text_is_judged_without_another_error(text: str) -> None:
    for judge in (normal_form, comparison_keys):
        try:
            judge(text)
        except InvalidAddress as refusal:
            assert len(str(refusal)) < 300  # noqa: PT017  # either outcome is right


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
