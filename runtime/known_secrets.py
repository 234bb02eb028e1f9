"""The secrets that a process uses, in every form in which a library may quote them."""

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

PERCENT: Final = re.compile("%[0-9A-F]{2}")


class KnownSecrets:
    """The secrets of a process. Looking for each form costs less than one pattern of them all."""

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()  # the longest first
        self._parts: tuple[str, ...] = ()  # the forms that contain no other form
        self._encoded: frozenset[str] = frozenset()  # the forms that are no words, even if they have only letters
        self._lock = threading.Lock()

    def add(self, secrets: Iterable[str]) -> None:
        """Remember these secrets until the process ends."""
        texts = {text for secret in secrets for text in _texts_of(secret)}
        encoded = {form for text in texts for form in _encoded(text.encode(errors=ANY))}
        forms = encoded | {form for text in texts for form in _quoted_twice(text)}
        with self._lock:
            self._encoded |= encoded
            if not forms <= set(self._forms):
                self._forms = tuple(sorted(forms | set(self._forms), key=lambda form: (-len(form), form)))
                self._parts = tuple(_without_longer(self._forms))

    def occur_in(self, text: str) -> bool:
        """Whether the text may contain a secret: only False is certain."""
        for part in self._parts:  # noqa: SIM110  # a generator takes three times as long, for every line of the log
            if part in text:
                return True
        return False

    def mask(self, text: str) -> str:
        """Replace every known secret in the text."""
        for form in self._forms:
            if form in text:
                text = _replaced(form, text) if form not in self._encoded else text.replace(form, MASK)
        return text

    @property
    def longest(self) -> int:
        """The characters of the longest form."""
        return len(self._forms[0]) if self._forms else 0


def _without_longer(forms: tuple[str, ...]) -> Iterator[str]:
    for form in forms:
        if not any(other != form and other in form for other in forms):
            yield form


def _replaced(form: str, text: str) -> str:
    if len(form) < SHORTEST_SECRET_INSIDE_A_WORD or form.isalpha():
        return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text.replace(form, MASK)


def _texts_of(secret: str) -> Iterator[str]:
    for text in {secret, secret.strip(), unquote(secret).strip(), *map(str.strip, secret.splitlines())}:
        if len(text) >= SHORTEST_SECRET:
            yield text


def _quoted_twice(text: str) -> Iterator[str]:
    quoted = {text, *_quoted(text)}
    yield from quoted | {twice for form in quoted - {text} for twice in _quoted(form)}


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
