"""Secrets that only this installation can open, and others that it can derive again."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from provisioning.ports import TryAgain

NONCE_BYTES = 12
SCHEME = b"\x01"
"""First byte of everything sealed, so that a later scheme can be told from this one."""


class SealBroken(TryAgain):
    """What was sealed does not open: another secret key, another name, or it was tampered with."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} cannot be unsealed: TENANTRY_SECRET_KEY has changed, or the stored bytes have.")
        self.name = name


class Seal:
    """AES-256-GCM under a key derived from the installation's secret."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def close(self, name: str, content: bytes) -> bytes:
        """Seal ``content`` so that it opens under the same ``name`` only."""
        nonce = os.urandom(NONCE_BYTES)
        return SCHEME + nonce + self._cipher().encrypt(nonce, content, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Give back what was sealed under ``name``. Raises SealBroken."""
        scheme, nonce, content = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if scheme != SCHEME or len(nonce) < NONCE_BYTES:
            raise SealBroken(name)
        try:
            return self._cipher().decrypt(nonce, content, name.encode())
        except InvalidTag:
            raise SealBroken(name) from None

    def derive(self, purpose: str) -> bytes:
        """32 bytes that nobody without the secret can guess, always the same for one purpose."""
        derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"tenantry {purpose}".encode())
        return derivation.derive(self._secret.get_secret_value().encode())

    def _cipher(self) -> AESGCM:
        return AESGCM(self.derive("seal 1"))
