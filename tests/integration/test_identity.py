"""The identity adapter creates a real signing key, seals its private part and destroys both for good."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from jwt.utils import base64url_encode
from pydantic import SecretStr
from sqlmodel import Session

from adapters.identity import ACCOUNTS, KEYS, NoSigningKey, PostgresIdentity
from adapters.sealing import Seal, SealBroken
from models import SigningKey, TenantAccount
from models.columns import new_id
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from runtime.database import Database, clock
from tests.builders import fresh_names, settings_with
from tests.conftest import SECRET_KEY
from tests.waiting import lock_waits, wait_until

EMAIL = "ada@example.com"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url))
    yield database
    database.close()


@pytest.fixture
def identity(database: Database) -> PostgresIdentity:
    return PostgresIdentity(database, Seal(SecretStr(SECRET_KEY)))


def key_of(database: Database, names: ResourceNames) -> SigningKey:
    with database.transaction() as session:
        return session.get_one(SigningKey, names.signing_key)


def public_part(key: SigningKey) -> dict[str, Any]:
    assert key.public_jwk is not None
    return key.public_jwk


def test_the_published_key_verifies_what_the_sealed_one_signs(identity: PostgresIdentity, database: Database) -> None:
    names = fresh_names()
    identity.create(names, EMAIL)

    token = identity.sign(names, {"sub": "ada"})

    published = public_part(key_of(database, names))
    assert jwt.decode(token, jwt.PyJWK(published), algorithms=["ES256"]) == {"sub": "ada"}
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": published["kid"]}


def test_the_key_is_named_by_its_thumbprint(identity: PostgresIdentity, database: Database) -> None:
    names = fresh_names()

    identity.create(names, EMAIL)

    key = key_of(database, names)
    required = {name: public_part(key)[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()
    assert key.kid == public_part(key)["kid"] == base64url_encode(digest).decode()


def test_only_public_parts_are_published(identity: PostgresIdentity, database: Database) -> None:
    names = fresh_names()

    identity.create(names, EMAIL)

    assert set(public_part(key_of(database, names))) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_creating_again_keeps_the_key(identity: PostgresIdentity, database: Database) -> None:
    names = fresh_names()
    identity.create(names, EMAIL)
    first = key_of(database, names).kid

    identity.create(names, EMAIL)

    assert key_of(database, names).kid == first


def test_a_key_cannot_be_unsealed_with_another_secret_key(identity: PostgresIdentity, database: Database) -> None:
    names = fresh_names()
    identity.create(names, EMAIL)
    other = PostgresIdentity(database, Seal(SecretStr("another secret, just as long as 32")))

    with pytest.raises(SealBroken):
        other.sign(names, {})


def test_a_key_sealed_for_one_tenant_cannot_be_unsealed_for_another(
    identity: PostgresIdentity, database: Database
) -> None:
    owner, thief = fresh_names(), fresh_names()
    identity.create(owner, EMAIL)
    identity.create(thief, EMAIL)

    with database.transaction() as session:
        stolen = session.get_one(SigningKey, owner.signing_key).sealed_private_key
        session.get_one(SigningKey, thief.signing_key).sealed_private_key = stolen

    with pytest.raises(SealBroken):
        identity.sign(thief, {})


def test_destroying_deletes_the_key_and_the_email_address(identity: PostgresIdentity, database: Database) -> None:
    names = fresh_names()
    identity.create(names, EMAIL)

    identity.destroy(names)

    key = key_of(database, names)
    with database.transaction() as session:
        account = session.get_one(TenantAccount, names.account)
    assert (key.kid, key.public_jwk, key.sealed_private_key, account.email) == (None, None, None, None)
    with pytest.raises(NoSigningKey):
        identity.sign(names, {})


def test_destroying_again_keeps_the_time_of_the_first_destruction(
    identity: PostgresIdentity, database: Database
) -> None:
    names = fresh_names()
    identity.destroy(names)
    first = key_of(database, names).destroyed_at

    identity.destroy(names)

    assert key_of(database, names).destroyed_at == first


@pytest.mark.parametrize("exists", [False, True])
def test_a_destruction_waits_for_a_running_creation_and_undoes_it(
    identity: PostgresIdentity, database: Database, database_url: str, *, exists: bool
) -> None:
    names = fresh_names()
    if exists:
        identity.create(names, EMAIL)

    with ThreadPoolExecutor() as pool:
        with database.transaction() as session:
            create_in(session, names)
            destruction = pool.submit(identity.destroy, names)
            wait_until(lambda: lock_waits(database_url) == 1)
        destruction.result(10)

    assert identity.present(names) == []


@pytest.mark.parametrize("exists", [False, True])
def test_a_creation_that_waits_for_a_running_destruction_is_refused(
    identity: PostgresIdentity, database: Database, database_url: str, *, exists: bool
) -> None:
    names = fresh_names()
    if exists:
        identity.create(names, EMAIL)

    with ThreadPoolExecutor() as pool:
        with database.transaction() as session:
            destroy_in(session, names)
            creation = pool.submit(identity.create, names, EMAIL)
            wait_until(lambda: lock_waits(database_url) == 1)
        with pytest.raises(Refused):
            creation.result(10)

    assert identity.present(names) == []


def create_in(session: Session, names: ResourceNames) -> None:
    now = clock(session)
    key = {"kid": "k", "public_jwk": {}, "sealed_private_key": b"s"}
    KEYS.hold(session, name=names.signing_key, tenant_id=new_id(), created_at=now, **key)
    ACCOUNTS.hold(session, name=names.account, tenant_id=new_id(), created_at=now, email=EMAIL)


def destroy_in(session: Session, names: ResourceNames) -> None:
    now = clock(session)
    KEYS.bury(session, name=names.signing_key, tenant_id=new_id(), created_at=now)
    ACCOUNTS.bury(session, name=names.account, tenant_id=new_id(), created_at=now)
