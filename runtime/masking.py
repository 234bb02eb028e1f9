"""Masks secrets and e-mail addresses in text that is put on record, shown or logged."""

from collections.abc import Iterable
from typing import Final

from runtime.encoded_text import mask_encoded, mask_escaped, may_hide_text
from runtime.known_secrets import KnownSecrets
from runtime.secret_shapes import ADDRESSES, SECRETS, Shape, may_have_shape

LONGEST_TEXT: Final = 16_384
"""Characters of a text that are all kept, so that masking takes milliseconds. Of a longer one both ends are."""

END: Final = 6_000
"""Characters of each end."""

MARGIN: Final = 4_096
"""Characters beside an end that are masked with it: half a secret is not recognised."""

DEPTH: Final = 2
"""How often a text that is encoded twice and more is decoded."""

EVERY_SHAPE: Final = SECRETS + ADDRESSES

_known = KnownSecrets()


def remember_secrets(secrets: Iterable[str]) -> None:
    """Mask these secrets from now on. Whatever reads a secret calls this before it uses it."""
    _known.add(secrets)


def masked(text: str) -> str:
    """The text without secrets and without the local parts of e-mail addresses; both ends of a very long one.

    Call it before the text is shortened: half a secret is not recognised.
    """
    return _ends(text, EVERY_SHAPE)


def without_secrets(text: str) -> str:
    """The text without secrets. E-mail addresses stay, for texts that show a client its own input."""
    return _ends(text, SECRETS)


def is_plain(text: str) -> bool:
    """Whether no part of the text has anything to mask. It costs little, and only True is certain."""
    return not (may_have_shape(text) or may_hide_text(text) or _known.occur_in(text))


def _ends(text: str, shapes: tuple[Shape, ...]) -> str:
    if len(text) <= LONGEST_TEXT:
        return text if is_plain(text) else _masked(text, shapes, DEPTH)
    margin = max(MARGIN, _known.longest)
    first, last = text[: END + margin], text[-END - margin :]
    first, last = _masked(first, shapes, DEPTH)[:-margin], _masked(last, shapes, DEPTH)[margin:]
    return f"{first} … {len(text) - 2 * END} characters are left out … {last}"


def _masked(text: str, shapes: tuple[Shape, ...], depth: int) -> str:
    text = _known.mask(text)
    if depth and "\\" in text:
        text = mask_escaped(text, lambda decoded: _masked(decoded, shapes, 0))
    folded = text.casefold()
    for shape in shapes:
        if any(sign in folded for sign in shape.signs):
            text = shape.pattern.sub(shape.replacement, text)
    return mask_encoded(text, lambda decoded: _masked(decoded, shapes, depth - 1)) if depth else text
