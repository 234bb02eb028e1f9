"""The judge of names: which characters they may have, in which normal form."""

import re
import unicodedata

MAX_NAME_LENGTH = 80

JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner: parts of words in Persian and Indian scripts, and of emoji such as families."""

USELESS_JOINERS = re.compile(rf"(?:^|(?<=[\s{JOINERS}]))[{JOINERS}]+|[{JOINERS}]+(?=\s|$)")
"""Joiners that join nothing: at an end of a word, or behind another one."""

FLAG_OF_A_REGION = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
"""An emoji such as the flag of Scotland: a black flag with the region's code in invisible characters."""

BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates: they change the order of the text around them."""

HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, invisible format characters, surrogates, private use, separators of lines. Unassigned characters are not
among them: they may be letters or emoji of a newer Unicode than this Python knows."""

INVISIBLE_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Fillers of Hangul, and the Braille pattern without dots."""


class InvalidName(ValueError):
    """This is no name that can be shown. The message is a sentence for a person."""


def normal_name(name: str) -> str:
    """The name with ordinary spaces, without blanks around it, in NFC. Raises InvalidName."""
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in name)
    normal = unicodedata.normalize("NFC", USELESS_JOINERS.sub("", spaced.strip())).strip()
    if hidden := hidden_character(normal):
        raise InvalidName(f"A name must not contain the character {described(hidden)}.")
    if not 1 <= len(normal) <= MAX_NAME_LENGTH or not any(map(_is_visible, normal)):
        raise InvalidName(f"A name must have 1 to {MAX_NAME_LENGTH} printable characters.")
    return normal


def hidden_character(text: str) -> str | None:
    """The first character that cannot be seen or that changes how others are shown; None if there is none.

    Joiners, and the invisible part of a region's flag, are not hidden: without them the text would look different.
    """
    return next((character for character in FLAG_OF_A_REGION.sub("", text) if is_hidden(character)), None)


def is_hidden(character: str) -> bool:
    """Whether the character alone is not shown, other than a joiner."""
    return character not in JOINERS and (
        unicodedata.category(character) in HIDDEN_CATEGORIES or _is_noncharacter(character)
    )


def described(character: str) -> str:
    """The number and the name of a character that cannot be printed."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}{f' ({name})' if name else ''}"


def _is_visible(character: str) -> bool:
    """Whether it can be seen without another character: a mark alone cannot."""
    category = unicodedata.category(character)
    return (category[0] in "LNPS" and character not in INVISIBLE_LETTERS) or category == "Cn"


def _is_noncharacter(character: str) -> bool:
    return 0xFDD0 <= ord(character) <= 0xFDEF or ord(character) & 0xFFFE == 0xFFFE
