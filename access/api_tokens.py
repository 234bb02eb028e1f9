"""The format of service accounts' tokens: a prefix for secret scanners, a secret, a checksum against typing errors."""

import hashlib
import secrets
import string
import zlib

PREFIX = "tnt_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_LENGTH = 43
"""Characters of an alphabet of 62: 256 bits."""

CHECKSUM_LENGTH = 6
"""Characters, enough for any CRC-32."""


def new_token() -> str:
    """Generate a new random token."""
    secret = "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
    return f"{PREFIX}{secret}{_checksum(secret)}"


def is_token(text: str) -> bool:
    """Whether the text has the format of a token. Any other text is rejected without a database query."""
    if not (text.isascii() and text.startswith(PREFIX)):
        return False
    secret, checksum = text[len(PREFIX) : -CHECKSUM_LENGTH], text[-CHECKSUM_LENGTH:]
    return len(secret) == SECRET_LENGTH and checksum == _checksum(secret)


def digest_of(token: str) -> str:
    """The SHA-256 that is stored. A random secret of 256 bits needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(secret: str) -> str:
    number, characters = zlib.crc32(secret.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, rest = divmod(number, len(ALPHABET))
        characters = ALPHABET[rest] + characters
    return characters
