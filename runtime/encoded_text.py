"""Finds words that hide a text from patterns: in base64, in hexadecimal digits, with escapes of mails and addresses."""

import binascii
import html
import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

from runtime.known_secrets import MASK

SHORTEST = 8
"""Digits of base64: a@b.cd has eight."""

MOST_ESCAPES = 3
"""How often a text that is escaped twice and more is unescaped."""

DIGITS = "[A-Za-z0-9+/_-]"
FIRST, SECOND, THIRD = "[A-Za-f]", "[A-HQ-Xg-nw-z0-3]", "[ABEFIJMNQRUVYZcdghklopstwx014589]"
"""The digits of three ASCII characters, the fourth is any. One group in eight of random bytes has them."""

ASCII = f"{FIRST}{SECOND}{THIRD}{DIGITS}"
HEX_ASCII = "[2-7][0-9A-Fa-f]"
TRACES_OF_TEXT: Final = (
    # An at sign in base64, as the first, the second and the third byte of a group.
    re.compile("[A-P](?:(?<=Q[A-P])|(?<=[EUk0][A-D])|(?<=[BFJNRVZdhlptx159]A))"),
    re.compile("40(?<=[2-9abAB].40)[3-7]"),
    re.compile(f"{ASCII}(?:{ASCII}){{3}}"),
    re.compile(f"{HEX_ASCII}(?:{HEX_ASCII}){{11}}"),
)
"""A word with none of these is no address in digits, and no longer text. A UUID rarely has one."""

RUN: Final = re.compile(f"{DIGITS}{{{SHORTEST},}}+={{0,2}}")
HEX: Final = re.compile(r"[0-9A-Fa-f]{12,}+")
URL_SAFE: Final = str.maketrans("-_", "+/")
UNREADABLE = r"\x00-\x1f\x7f-\x9f\ufffd"
READABLE: Final = re.compile(
    rf"[^{UNREADABLE}]{{20,}}|[ -~]{{12,}}|[^\s{UNREADABLE}@]{{1,19}}@[\w-]{{1,63}}\.[\w.-]{{2,}}"
)
"""What random bytes do not look like: many characters, or an address with a domain that has a dot."""

BLANKS: Final = str.maketrans("\t\r\n", "   ")

ESCAPED_WORD: Final = re.compile(r'(?<![^\s"<>])[^\s"<>%&\\]*+[%&\\][^\s"<>]*+')
WORD_WITH_BACKSLASH: Final = re.compile(r'(?<![^\s"<>])[^\s"<>\\]*+\\[^\s"<>]*+')
ESCAPE: Final = re.compile(r"\\{1,16}u([0-9A-F]{4})|((?:\\{1,16}x[0-9A-F]{2})++)", re.IGNORECASE)
NO_DIGITS: Final = str.maketrans("", "", "\\xX")
LATIN_1: Final = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}
"""What ``surrogateescape`` makes of bytes that are not UTF-8, with the characters that they may be."""

MAIL_WORD = r"=\?[^?\s]{1,40}+\?([bq])\?([^?\s]*+)\?="
MAIL_WORDS: Final = re.compile(rf"{MAIL_WORD}(?:\s++{MAIL_WORD})*+", re.IGNORECASE)
ONE_MAIL_WORD: Final = re.compile(MAIL_WORD, re.IGNORECASE)
"""An encoded word of RFC 2047. Words that follow each other are one text."""


def may_hide_text(text: str) -> bool:
    """Whether a word of the text may be readable when it is decoded: only False is certain."""
    return "%" in text or "&" in text or "\\" in text or "=?" in text or _may_be_digits_of_text(text)


def mask_encoded(text: str, mask: Callable[[str], str]) -> str:
    """Replace each word that, when it is decoded, is a text that ``mask`` changes."""
    for words, decoded in ((MAIL_WORDS, _of_mail), (ESCAPED_WORD, _unescaped), (RUN, _from_digits)):
        text = _mask_words(text, words, decoded, mask)
    return text


def mask_escaped(text: str, mask: Callable[[str], str]) -> str:
    """The same for words with escapes of JSON or Python: a pattern for addresses would take a part of such a word."""
    return _mask_words(text, WORD_WITH_BACKSLASH, _unescaped, mask)


def _mask_words(text: str, words: re.Pattern[str], decoded: Callable[[str], str], mask: Callable[[str], str]) -> str:
    readings = {word: decoded(word) for word in dict.fromkeys(found[0] for found in words.finditer(text))}
    readings = {word: reading for word, reading in readings.items() if reading not in {"", word}}
    if not readings:
        return text
    # Once for all words: a text may have thousands.
    before = [reading.translate(BLANKS) for reading in readings.values()]
    after = mask("\n".join(before)).split("\n")
    revealing = {word for word, old, new in zip(readings, before, after, strict=False) if old != new}
    hidden = revealing if len(after) == len(before) else set(readings)  # a secret went from one reading to the next
    return words.sub(lambda found: MASK if found[0] in hidden else found[0], text) if hidden else text


def _of_mail(words: str) -> str:
    decoded = b"".join(
        _base64(content) if kind in "bB" else binascii.a2b_qp(content, header=True)
        for kind, content in ONE_MAIL_WORD.findall(words)
    )
    return decoded.replace(b"\0", b"").decode(errors="replace")


def _unescaped(word: str) -> str:
    for _ in range(MOST_ESCAPES):
        before, word = word, ESCAPE.sub(_characters, _without_references(unquote(word)))
        if word == before:
            break
    return word


def _without_references(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a number with thousands of digits
        return text


def _characters(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(int(escape[1], 16))
    return bytes.fromhex(escape[2].translate(NO_DIGITS)).decode(errors="surrogateescape").translate(LATIN_1)


def _from_digits(run: str) -> str:
    """What is readable in it, wherever the first group begins."""
    if not _may_be_digits_of_text(run):
        return ""
    return _readable(b"\n".join((*(_base64(run[first:]) for first in range(4)), *_from_hex(run))))


def _may_be_digits_of_text(text: str) -> bool:
    for trace in TRACES_OF_TEXT:  # noqa: SIM110  # a generator takes three times as long
        if trace.search(text):
            return True
    return False


def _from_hex(run: str) -> Iterator[bytes]:
    for digits in HEX.findall(run):
        for first in range(2):
            yield bytes.fromhex(digits[first : len(digits) - (len(digits) - first) % 2])


def _base64(digits: str) -> bytes:
    digits = digits.rstrip("=").translate(URL_SAFE)
    whole = digits[: len(digits) - (len(digits) % 4 == 1)]
    return binascii.a2b_base64(whole + "=" * (-len(whole) % 4))


def _readable(data: bytes) -> str:
    """The parts that are text. UTF-16 is ASCII with zeros in between."""
    return "\n".join(READABLE.findall(data.replace(b"\0", b"").decode(errors="replace")))
