"""Cryptography with the secret key of this installation: encryption, key derivation."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from provisioning.ports import TryAgain

NONCE_BYTES = 12
SCHEME = b"\x01"
"""First byte of all encrypted data, to distinguish it from later schemes."""


class SealBroken(TryAgain):
    """Decryption failed: the secret key or the name is another, or the data were changed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} cannot be decrypted: TENANTRY_SECRET_KEY or the stored data have changed.")
        self.name = name


class Seal:
    """AES-256-GCM with a key derived from the installation's secret key."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def close(self, name: str, content: bytes) -> bytes:
        """Encrypt ``content``, bound to ``name``."""
        nonce = os.urandom(NONCE_BYTES)
        return SCHEME + nonce + self._cipher().encrypt(nonce, content, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Decrypt data that were encrypted with ``name``. Raises SealBroken."""
        scheme, nonce, content = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if scheme != SCHEME or len(nonce) < NONCE_BYTES:
            raise SealBroken(name)
        try:
            return self._cipher().decrypt(nonce, content, name.encode())
        except InvalidTag:
            raise SealBroken(name) from None

    def derive(self, purpose: str) -> bytes:
        """Derive 32 secret bytes from the secret key, always the same for one purpose."""
        derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"tenantry {purpose}".encode())
        return derivation.derive(self._secret.get_secret_value().encode())

    def _cipher(self) -> AESGCM:
        return AESGCM(self.derive("seal 1"))
