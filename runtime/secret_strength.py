"""The judge of secret keys: a random key passes, and a placeholder, a sentence or a pattern does not."""

import math
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zxcvbn.matching import _Match

LEAST_LENGTH = 32
LEAST_GUESSES = 76
"""Bits that a guesser needs who knows words, names, dates, keyboards, sequences and repetitions. A random key of 32
hexadecimal digits has 128, less those of patterns that are there by accident: below 97 in one of 100 keys, and below 93
in one of 1000. Continued in a straight line, one of a million has less than 81."""

MOST_KNOWN = 0.59
"""The share of a key that may consist of words and patterns. Measured with 4000 random keys of each usual recipe, it is
above 0.22 in one of 100 keys of 32 hexadecimal digits, above 0.31 in one of 1000, and never above 0.41. Continued in a
straight line, it is above 0.58 in one of a million. The other recipes have less."""

LONGEST_JUDGED = 72
"""Characters at the start of a key that are judged: the time grows with the square of their number."""

SHORTEST_WORD = 3
SHORTEST_PATTERN = 4
SHORTEST_OF_DIGITS = 6
STRETCH = re.compile(r"K{5,}|\bK+\b")
"""What counts as known: several words or patterns in a row, a long one, or one between marks. A short one between other
letters and digits is in many random keys."""

BITS_OF_A_DIGIT = math.log2(10)

PLACEHOLDER = re.compile(
    r"insecure|placeholder|password|secret|change[\W_]?(me|this|it)|replace[\W_]?(me|this|with)|(?<![^\W_])your[\W_]"
    r"|example"
    r"|^<.+>$|^\$\{?\w+\}?$",
    re.IGNORECASE,
)
"""What generators and documents write into keys that have to be replaced."""

DIGITS_FOR_LETTERS = str.maketrans("01345$@", "oieassa")

RANDOM = "use a random one, for example of openssl rand -hex 32"


def secret_key(key: str) -> str:
    """Return the key, or raise ValueError with a reason that does not repeat it."""
    if len(key) < LEAST_LENGTH:
        raise ValueError(
            f"must have at least {LEAST_LENGTH} characters, not counting blanks at the start and the end: {RANDOM}"
        )
    if PLACEHOLDER.search(key) or PLACEHOLDER.search(key.translate(DIGITS_FOR_LETTERS)):
        raise ValueError(f"looks like the placeholder for a key: {RANDOM}")
    if _is_easy_to_guess(key):
        raise ValueError(
            f"is easy to guess, because it repeats itself or consists of common words or sequences: {RANDOM}"
        )
    return key


@cache
def _is_easy_to_guess(key: str) -> bool:
    judged, without_repetitions = key[:LONGEST_JUDGED], " ".join(dict.fromkeys(re.findall(r"[^\W_]+", key)))
    # A key of marks alone has nothing without its repetitions.
    guesses = min(map(_guesses, filter(None, {judged, without_repetitions[:LONGEST_JUDGED]})))
    return guesses < LEAST_GUESSES or _known_share(judged) > MOST_KNOWN


def _guesses(text: str) -> float:
    # Imported here, because its dictionaries take a moment and are needed for a new key only.
    from zxcvbn.scoring import most_guessable_match_sequence  # noqa: PLC0415  # see above

    return float(most_guessable_match_sequence(text, _matches(text))["guesses_log10"]) * BITS_OF_A_DIGIT


def _known_share(text: str) -> float:
    """The share of the letters and digits that are part of a word or a pattern."""
    known = {at for match in _matches(text) if _is_known(match) for at in range(match["i"], match["j"] + 1)}
    kinds = ["K" if at in known else "U" for at in range(len(text))]  # K for known, U for unknown
    line = "".join(kind if text[at].isalnum() else " " for at, kind in enumerate(kinds))
    return sum(map(len, STRETCH.findall(line))) / max(1, len(line.replace(" ", "")))


def _is_known(match: "_Match") -> bool:
    token = match["token"]
    match match["pattern"]:
        case "dictionary":  # digits for letters and reversed words are in random keys too
            plain = token.isalpha() and not match["l33t"] and not match["reversed"]
            return plain and len(token) >= SHORTEST_WORD
        case "date":  # eight digits are a date too often
            return bool(match["separator"])
        case "sequence" | "spatial" | "repeat":
            return len(token) >= (SHORTEST_OF_DIGITS if token.isdigit() else SHORTEST_PATTERN)
        case _:
            return False


@cache
def _matches(text: str) -> "list[_Match]":
    from zxcvbn.matching import omnimatch  # noqa: PLC0415  # as above

    return omnimatch(text)
