"""Masks secrets and e-mail addresses in text that is put on record, shown or logged."""

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote

MASK: Final = "***"

SHORTEST_SECRET = 4
"""Characters. A shorter text occurs in ordinary words, and guessing it is easier than finding it."""

SHORTEST_SECRET_INSIDE_A_WORD = 8
"""Characters. A shorter secret, or one that is a word, is masked where it stands alone, not inside longer words."""

SECRET_SHAPES: Final = (
    # The password of an address: it may contain every character but blanks, also those that should be encoded.
    (re.compile(r"://[^\s/:@]{0,256}:\S{0,512}@"), f"://{MASK}@"),
    (
        re.compile(r"\b(Bearer|Basic|Digest|Negotiate)\s+(?=\S{0,512}?[\d._~+/=])[\w.~+/=-]{8,}+", re.IGNORECASE),
        rf"\1 {MASK}",
    ),
    (re.compile(r"(?<!\w)tnt_\w{8,}+"), MASK),
    (re.compile(r"(?<![\w-])eyJ[\w-]*+\.[\w-]*+\.[\w-]*+"), MASK),
    (
        re.compile(
            r"(passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key)([\w-]{0,40}=)(?!true\b|false\b)[^\s&,;)\]'\"]++",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"""(["'][\w-]{0,40}(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key)[\w-]{0,40}["']\s{0,9}:\s{0,9})(["'])(?:[^"'\\]|\\.)*+""",
            re.IGNORECASE,
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"SCRAM-SHA-256\$[\w$:+/=]++"), MASK),
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----END).)*+", re.DOTALL), f"-----{MASK}"),
)
"""Secrets that are recognised by their shape, whether or not this process knows them."""

PUNCTUATION = r"!#$&'*+./=?^`{|}~\-"
ADDRESS: Final = re.compile(
    rf"""(?<![\w{PUNCTUATION}%])(/*+)(?=[{PUNCTUATION}%]{{0,64}}\w)(?:[\w{PUNCTUATION}]|%(?!40))++(@|\uff20|\ufe6b|%40)(?=[\w\[])"""
)
QUOTED_ADDRESS: Final = re.compile(r'"[^"\n]{1,64}+"(@|%40)(?=[\w\[])')
"""The local part of an e-mail address. The domain stays: it says at which provider a delivery failed."""


class KnownSecrets:
    """The secrets that this process uses, in every form in which a library may quote them."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secrets: Iterable[str]) -> None:
        """Remember these secrets until the process ends."""
        forms = {form for secret in secrets for form in _forms_of(secret)}
        with self._lock:
            if not forms <= self._forms:
                self._forms |= forms
                self._pattern = re.compile("|".join(map(_pattern_of, sorted(self._forms, key=len, reverse=True))))

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
            yield from (plain, json.dumps(plain)[1:-1], plain.encode("unicode_escape").decode())
            yield from (quote(plain, safe=""), quote(plain), quote_plus(plain))
            yield base64.b64encode(plain.encode(errors="replace")).decode()


def _pattern_of(form: str) -> str:
    if len(form) < SHORTEST_SECRET_INSIDE_A_WORD or form.isalpha():
        return rf"(?<!\w){re.escape(form)}(?!\w)"
    return re.escape(form)
