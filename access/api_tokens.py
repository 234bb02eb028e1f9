"""How the tokens of service accounts are spelled: a prefix for scanners, a secret, a checksum against typing errors."""

import hashlib
import secrets
import string
import zlib

PREFIX = "tnt_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_LENGTH = 43
"""Characters of 62: 256 bits."""

CHECKSUM_LENGTH = 6
"""Characters that any CRC-32 fits into."""


def new_token() -> str:
    """A token that nobody has seen yet."""
    secret = "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
    return f"{PREFIX}{secret}{_checksum(secret)}"


def is_token(text: str) -> bool:
    """Whether a text is spelled like one: what is not needs no look into the database."""
    if not (text.isascii() and text.startswith(PREFIX)):
        return False
    secret, checksum = text[len(PREFIX) : -CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    return len(secret) == SECRET_LENGTH and checksum == _checksum(secret)


def digest_of(token: str) -> str:
    """What is kept of it. A secret of 256 bits needs neither salt nor patience."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(secret: str) -> str:
    number, characters = zlib.crc32(secret.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, rest = divmod(number, len(ALPHABET))
        characters = ALPHABET[rest] + characters
    return characters
