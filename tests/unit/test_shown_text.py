"""One judge of names: the names of real people are accepted, and nothing that hides or reorders text."""
# ruff: noqa: RUF001  # letters of other scripts are what is tested

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime import shown_text
from runtime.shown_text import InvalidName, hidden_character, normal_name

FAMILY = "👨\u200d👩\u200d👧"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize("name", [
    "山田太郎", "Шостакович", "محمد", "נועם", "नेहा", "Nguyễn Thị Hương", "O’Brien-Łukasz", "Ægir", "🎉", "❤️ & Co",
    f"Team {FAMILY}", f"{FAMILY}{FAMILY}", f"Clan {SCOTLAND}", "👩🏽\u200d💻", "🏳️\u200d🌈", "1️⃣ First", "🇯🇵",
    "می\u200cخواهم", "क्\u200dष", "\U0001fae9",  # of Unicode 16
    "x" * 80,
])  # fmt: skip
def test_the_names_of_real_people_are_kept(name: str) -> None:
    assert normal_name(name) == name


@pytest.mark.parametrize(("given", "expected"), [
    ("山田\u3000太郎", "山田 太郎"),
    ("\u3000山田\u00a0", "山田"),
    *((f"a{space}b", "a b") for space in "\u00a0\u1680\u2000\u2003\u2007\u2009\u200a\u202f\u205f\u3000"),
    ("Jose\u0301", "José"),
    ("\u200dAda", "Ada"),
    ("Ada\u200c", "Ada"),
    ("Ada \u200d Lovelace", "Ada  Lovelace"),
    ("Ada\u200d\u200d\u200dLovelace", "Ada\u200dLovelace"),
    ("می\u200cخواهم\u200c", "می\u200cخواهم"),
])  # fmt: skip
def test_spaces_become_a_space_and_joiners_stay_inside_words(given: str, expected: str) -> None:
    assert normal_name(given) == expected


@pytest.mark.parametrize("character", [
    "\0", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\x9b",
    "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069",
    "\u200b", "\u200e", "\u200f", "\u061c", "\u00ad", "\u2060", "\ufeff", "\u2028", "\u2029",
    chr(0xD800), chr(0xDFFF), "\ue000", "\U000e0041", "\U000e007f", "\ufdd0", "\uffff", "\U0010ffff",
])  # fmt: skip
def test_a_control_or_an_override_is_refused_with_its_number(character: str) -> None:
    with pytest.raises(InvalidName, match=rf"U\+{ord(character):04X}"):
        normal_name(f"Ada{character}Lovelace")


@pytest.mark.parametrize("name", [
    "", " ", "\u3000", "\u200d", "\u200c\u200d \u200d", "\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\u0301",
    "\ufe0f", "x" * 81,
])  # fmt: skip
def test_a_name_that_cannot_be_seen_or_is_too_long_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="1 to 80 printable characters"):
        normal_name(name)


@example("\u200d\u0301")
@example("a\u200d \u0301")
@given(st.text() | st.text("aé \u3000\u200d\u200c\u0301\u202e\u3164👩💻\U0001f3f4\U000e0067\U000e007f"))
def test_every_text_is_refused_or_has_one_normal_form_that_can_be_shown(text: str) -> None:
    try:
        name = normal_name(text)
    except InvalidName as refusal:
        assert str(refusal).isprintable()  # noqa: PT017  # either outcome is right
        return

    assert normal_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert 1 <= len(name) <= 80
    assert hidden_character(name) is None
    assert not any(character.isspace() and character != " " for character in name)
    assert not (set(name) & shown_text.BIDI_CONTROLS)
    assert name.strip() == name
    assert not any(joiner in word[:1] + word[-1:] for word in name.split(" ") if word for joiner in "\u200c\u200d")
