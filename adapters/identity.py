"""A tenant's identity: an ES256 signing key, encrypted at rest, with the first administrator's pending account."""

import base64
import hashlib
import json
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from sqlalchemy import func
from sqlmodel import Session

from adapters.absence import confirm_absent
from adapters.inventory import Inventory
from adapters.sealing import Seal
from models import SigningKey, TenantAccount
from provisioning.ports import TryAgain
from provisioning.resource_names import ResourceNames
from runtime.database import Database

COORDINATE_BYTES = 32

KEYS = Inventory(SigningKey, gone="destroyed_at", forgotten=("kid", "public_jwk", "sealed_private_key"))
ACCOUNTS = Inventory(TenantAccount, gone="destroyed_at", forgotten=("email",))


class NoSigningKey(TryAgain):
    """The run has no signing key."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no signing key {name}.")


class PostgresIdentity:
    """Keeps both in the product's database. Lock order in every transaction: key, then account."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    def create(self, names: ResourceNames, first_admin_email: str) -> None:
        """Create the key and the account unless they exist. Raises Refused once they were destroyed."""
        key = self._new_key(names.signing_key)
        self._database.transact(_hold, names, key, first_admin_email)

    def destroy(self, names: ResourceNames) -> None:
        """Destroy the key and the account, and refuse their names from now on."""
        self._database.transact(_bury, names)
        confirm_absent(self.present(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Return the names of the two that exist."""
        return self._database.transact(_held, names)

    def private_key(self, names: ResourceNames) -> ec.EllipticCurvePrivateKey:
        """Decrypt the private key. Raises NoSigningKey and SealBroken."""
        row = self._database.transact(_key_of, names)
        if row is None or row.sealed_private_key is None:
            raise NoSigningKey(names.signing_key)
        key = load_der_private_key(self._seal.open(row.name, row.sealed_private_key), password=None)
        return cast("ec.EllipticCurvePrivateKey", key)

    def sign(self, names: ResourceNames, claims: dict[str, Any]) -> str:
        """Sign a JWT that the tenant's published key verifies. Raises NoSigningKey and SealBroken."""
        key = self.private_key(names)
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": public_jwk(key)["kid"]})

    def _new_key(self, name: str) -> dict[str, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        public = public_jwk(key)
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return {"kid": public["kid"], "public_jwk": public, "sealed_private_key": self._seal.close(name, private)}


def public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """The public part as a JWK. Its ``kid`` is the RFC 7638 thumbprint."""
    numbers = key.public_key().public_numbers()
    required = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    thumbprint = hashlib.sha256(json.dumps(required, sort_keys=True, separators=(",", ":")).encode()).digest()
    return required | {"kid": _base64url(thumbprint), "use": "sig", "alg": "ES256"}


def _held(session: Session, names: ResourceNames) -> list[str]:
    held = {
        names.signing_key: KEYS.holds(session, name=names.signing_key),
        names.account: ACCOUNTS.holds(session, name=names.account),
    }
    return [name for name, is_held in held.items() if is_held]


def _key_of(session: Session, names: ResourceNames) -> SigningKey | None:
    return session.get(SigningKey, names.signing_key)


def _hold(session: Session, names: ResourceNames, key: dict[str, Any], email: str) -> None:
    now = func.clock_timestamp()
    KEYS.hold(session, name=names.signing_key, tenant_id=names.tenant_id, created_at=now, **key)
    ACCOUNTS.hold(session, name=names.account, tenant_id=names.tenant_id, created_at=now, email=email)


def _bury(session: Session, names: ResourceNames) -> None:
    now = func.clock_timestamp()
    KEYS.bury(session, name=names.signing_key, tenant_id=names.tenant_id, created_at=now)
    ACCOUNTS.bury(session, name=names.account, tenant_id=names.tenant_id, created_at=now)


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(COORDINATE_BYTES, "big"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
