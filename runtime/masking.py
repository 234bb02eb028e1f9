"""Masks secrets and e-mail addresses in text that is put on record, shown or logged."""

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote

MASK: Final = "***"

ANY: Final = "surrogateescape"
"""How bytes that are not UTF-8 arrive in the environment."""

SHORTEST_SECRET = 4
"""Characters. A shorter text occurs in ordinary words, and guessing it is easier than finding it."""

SHORTEST_SECRET_INSIDE_A_WORD = 8
"""Characters. A shorter secret, or one that is a word, is masked where it stands alone, not inside longer words."""

BOUNDARY = r"(?:(?<![\w-])|(?<=%20)|(?<=%22)|(?<=%3[aAdD]))"
"""Where a word begins, also in the query of an address."""

NAME = r"(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key)[\w-]{0,40}"
"""The name of a secret value."""

SECRET_SHAPES: Final = (
    # The password of an address: it may contain every character but blanks, also those that should be encoded.
    (re.compile(r"://[^\s/:@]{0,256}:\S{0,512}@"), f"://{MASK}@"),
    (
        re.compile(r"\b(Bearer|Basic|Digest|Negotiate)(\s+|%20)(?=\S{0,512}?[\d._~+/=])[\w.~+/=-]{8,}+", re.IGNORECASE),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"""\b((?:authorization|cookie)\\?["']?\s{0,9}[:=]\s{0,9}\\?["']?)((?:[a-z]{1,20}\s{1,9})?+)(?![<\s])[^\s"',;<\\]++""",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(rf"{BOUNDARY}_?tnt_\w{{8,}}+"), MASK),
    (re.compile(rf"{BOUNDARY}eyJ[\w-]*+\.[\w-]*+\.[\w-]*+"), MASK),
    (re.compile(rf"({NAME}=)(?!true\b|false\b)[^\s&,;)\]'\"]++", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"({NAME}\s{{1,9}}=\s{{1,9}})(?!true\b|false\b)[^\s&,;)\]'\"]++", re.IGNORECASE), rf"\1{MASK}"),
    # Without quotes after a colon it is often a sentence: "invalid token: it is expired".
    (
        re.compile(rf"({NAME}[\"']?\s{{0,9}}:\s{{0,9}})(?=\w{{0,256}}?\d)\w{{6,}}[^\s&,;)\]'\"}}]*+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(rf"({NAME}[\"']?\s{{0,9}}[:=]\s{{0,9}})([\"'])(?:[^\"'\\]|\\.)*+", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(rf"""({NAME}\\+"\s{{0,9}}:\s{{0,9}}\\+")[^"\\]*+""", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"([?&](?:[\w-]{0,40}-)?(?:sig|signature|credential|key)=)[^\s&#\"']++", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"SCRAM-SHA-256\$[\w$:+/=]++"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----END).)*+", re.DOTALL), f"-----{MASK}"),
)
"""Secrets that are recognised by their shape, whether or not this process knows them."""

AT = r"(?:@|\uff20|\ufe6b|%(?:25)*40|&#0*64;|&#x0*40;|&commat;|\\+u0040)"
"""An at sign as addresses, JSON and HTML write it. The first two look like one."""

IN_WORD = r"[^\s<>()\[\],;:\"\\@\uff20\ufe6b]"
"""What a local part without quotes may contain, generously: letters of all scripts, marks, joiners, pictures."""

ADDRESS: Final = re.compile(
    rf"(?<!{IN_WORD})(/*+)(?=(?:(?!{AT})[^\w\s]){{0,64}}\w)(?:(?!{AT}){IN_WORD})++({AT})(?=[\w\[])", re.IGNORECASE
)
QUOTED_ADDRESS: Final = re.compile(rf'"(?:[^"\n\\]|\\[^\n]){{1,64}}+"({AT})(?=[\w\[])', re.IGNORECASE)
"""The local part of an e-mail address. The domain stays: it says at which provider a delivery failed."""


PERCENT: Final = re.compile("%[0-9A-F]{2}")


class KnownSecrets:
    """The secrets that this process uses, in every form in which a library may quote them."""

    def __init__(self) -> None:
        self._forms: set[str] = set()  # as regular expressions
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secrets: Iterable[str]) -> None:
        """Remember these secrets until the process ends."""
        forms = {form for secret in secrets for form in _forms_of(secret)}
        with self._lock:
            if not forms <= self._forms:
                self._forms |= forms
                self._pattern = re.compile("|".join(sorted(self._forms, key=len, reverse=True)))

    def mask(self, text: str) -> str:
        """Replace every known secret in the text."""
        return self._pattern.sub(MASK, text) if self._pattern else text


_known = KnownSecrets()


def remember_secrets(secrets: Iterable[str]) -> None:
    """Mask these secrets from now on. Whatever reads a secret calls this before it uses it."""
    _known.add(secrets)


def masked(text: str) -> str:
    """The text without secrets and without the local parts of e-mail addresses.

    Call it before the text is shortened: half a secret is not recognised.
    """
    return QUOTED_ADDRESS.sub(rf"{MASK}\1", ADDRESS.sub(rf"\1{MASK}\2", without_secrets(text)))


def without_secrets(text: str) -> str:
    """The text without secrets. E-mail addresses stay, for texts that show a client its own input."""
    text = _known.mask(text)
    for shape, replacement in SECRET_SHAPES:
        text = shape.sub(replacement, text)
    return text


def _forms_of(secret: str) -> Iterator[str]:
    for plain in {secret, secret.strip(), unquote(secret).strip(), *map(str.strip, secret.splitlines())}:
        if len(plain) >= SHORTEST_SECRET:
            quoted = {plain, *_quoted(plain)}
            yield from map(_pattern_of, quoted | {twice for form in quoted - {plain} for twice in _quoted(form)})
            yield from map(re.escape, _encoded(plain.encode(errors=ANY)))


def _quoted(text: str) -> Iterator[str]:
    """The text as JSON, Python, HTML and addresses quote it. Quoted text in JSON in JSON is quoted twice."""
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text))
    yield from (text.encode("unicode_escape").decode(), repr(text)[1:-1], repr(text.encode(errors=ANY))[2:-1])
    for quoted in (quote(text, "", errors=ANY), quote(text, errors=ANY), quote_plus(text, errors=ANY)):
        yield from (quoted, PERCENT.sub(lambda found: found[0].lower(), quoted))


def _encoded(secret: bytes) -> Iterator[str]:
    yield from (secret.hex(), secret.hex().upper(), base64.b64encode(secret).decode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            # The secret as part of a longer text, such as user:password: without the digits that the rest changes.
            digits = encode(bytes(before) + secret).decode().rstrip("=")
            inner = digits[-(-before * 4 // 3) : (before + len(secret)) * 4 // 3]
            if len(inner) >= SHORTEST_SECRET_INSIDE_A_WORD:
                yield inner


def _pattern_of(form: str) -> str:
    if len(form) < SHORTEST_SECRET_INSIDE_A_WORD or form.isalpha():
        return rf"(?<!\w){re.escape(form)}(?!\w)"
    return re.escape(form)
