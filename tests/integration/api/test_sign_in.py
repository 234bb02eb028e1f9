"""People sign in with an identity provider: whom it vouches for gets in, and no trick with a token does."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlmodel import col, select
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from access.permissions import Identity
from models import ActorKind, Event, Member, Role
from models.columns import new_id
from provisioning.actors import Actor
from runtime.settings import SettingsRefused, read_settings, settings
from server.auth.authenticator import REVALIDATION_INTERVAL
from server.auth.tokens import sign_token
from tests.api import PROTOCOL, TIMEOUT, Api, Client, member_identity, running_api, service_account_identity
from tests.identity_provider import AUDIENCE, KEYS, IdentityProvider, identity_provider
from tests.run_harness import RunHarness, run_harness_in
from tests.waiting import wait_until

ME = "{ viewer { actor { id kind displayName } scopes } }"
PUBLISHED_SECRET = b"a secret that is none, as it is published"
SHORT_KEY = pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
"""An attacker takes the key that is at hand."""


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def signed(harness: RunHarness, redis_url: str, provider: IdentityProvider) -> Iterator[Api]:
    """An API whose people sign in with the provider."""
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
    with running_api(harness.settings.model_copy(update=more)) as running:
        yield running


@pytest.fixture
def address(harness: RunHarness) -> str:
    """Of somebody who was invited to this stage only: an invitation is found across organisations."""
    return f"ada@{harness.organisation.slug}.example"


def invite(harness: RunHarness, email: str, role: Role = Role.VIEWER, **more: Any) -> Member:
    now = datetime.now(UTC)
    wanted: dict[str, Any] = {"organisation_id": harness.organisation.id, "invited_at": now, "created_at": now} | more
    member = Member(email=email, name="Ada", role=role, **wanted)
    with harness.database.transaction() as session:
        session.add(member)
    return member


def row_of(harness: RunHarness, member: Member) -> Member:
    return harness.read(lambda session: session.get_one(Member, member.id))


def told_in(harness: RunHarness) -> list[str]:
    mine = select(Event.type).where(Event.organisation_id == harness.organisation.id).order_by(col(Event.position))
    return harness.read(lambda session: list(session.exec(mine)))


def bearer(api: Api, token: str) -> Client:
    return Client(api.address, f"Bearer {token}")


def status(api: Api, token: str) -> int:
    return bearer(api, token).post(ME).status_code


def test_who_was_invited_is_bound_at_the_first_sign_in(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address.upper())

    client = bearer(signed, provider.token(email=address))
    first, again = client.execute(ME), client.execute(ME)

    assert first == again
    assert first["viewer"]["actor"]["displayName"] == address.upper()
    bound = row_of(harness, member)
    assert bound.subject == f"{provider.issuer} ada-1"
    assert bound.joined_at is not None
    assert told_in(harness) == ["org.member_joined"]


def test_once_bound_it_is_the_subject_that_counts_and_not_the_address(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address)
    bearer(signed, provider.token(email=address)).execute(ME)

    married = provider.token(email="ada.king@elsewhere.example")
    bare = provider.token(email=None, email_verified=None)
    takeover = provider.token(sub="mallory-7", email=address)

    assert [status(signed, token) for token in (married, bare, takeover)] == [200, 200, 401]
    assert row_of(harness, member).subject == f"{provider.issuer} ada-1"


@pytest.mark.parametrize("claims", [
    {"email_verified": False},
    {"email_verified": None},
    {"email_verified": "true"},
    {"email_verified": 1},
    {"email": None},
    {"email": ["ada@shop.example"]},
])  # fmt: skip
def test_an_address_that_nobody_verified_opens_no_door(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str, claims: dict[str, Any]
) -> None:
    member = invite(harness, address)

    assert status(signed, provider.token(**({"email": address} | claims))) == 401
    assert row_of(harness, member).subject is None


def test_an_invitation_of_three_weeks_ago_is_over(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address, invited_at=datetime.now(UTC) - timedelta(weeks=3))

    assert status(signed, provider.token(email=address)) == 401
    assert row_of(harness, member).subject is None


def test_a_stranger_is_told_to_ask_for_an_invitation(signed: Api, provider: IdentityProvider) -> None:
    answer = bearer(signed, provider.token(sub="nobody", email="nobody@nowhere.example")).post(ME)

    assert answer.status_code == 401
    assert "ask for an invitation" in answer.json()["errors"][0]["message"]


def test_who_belongs_to_several_organisations_names_one(
    signed: Api, harness: RunHarness, other: RunHarness, provider: IdentityProvider, address: str
) -> None:
    invite(harness, address, Role.VIEWER)
    invite(other, address, Role.ADMIN)
    client = bearer(signed, provider.token(sub=new_id().hex, email=address))

    undecided = client.post(ME)
    scopes = {}
    for one in (harness, other):
        client.headers["Tenantry-Organization"] = one.organisation.slug
        scopes[one.organisation.slug] = client.execute(ME)["viewer"]["scopes"]
    client.headers["Tenantry-Organization"] = "somebody-elses"

    assert undecided.status_code == 401
    assert "choose one with the header Tenantry-Organization" in undecided.json()["errors"][0]["message"]
    assert "tenants:write" not in scopes[harness.organisation.slug]
    assert "tenants:write" in scopes[other.organisation.slug]
    assert client.post(ME).status_code == 401


def test_joining_a_second_organisation_ends_no_socket_of_the_first(
    signed: Api, harness: RunHarness, other: RunHarness, provider: IdentityProvider, address: str
) -> None:
    invite(harness, address)
    token = provider.token(sub=new_id().hex, email=address)

    with bearer(signed, token).connected() as socket:
        invite(other, address)
        second = bearer(signed, token)
        second.headers["Tenantry-Organization"] = other.organisation.slug
        assert second.execute(ME)
        with pytest.raises(TimeoutError):
            socket.recv(2 * REVALIDATION_INTERVAL)


@pytest.mark.parametrize("organisation", ["\0", "a" * 300, "'; --", "Shop"])
def test_what_is_no_organisations_name_closes_the_socket_like_any_other_stranger(
    signed: Api, provider: IdentityProvider, organisation: str
) -> None:
    payload = {"authorization": f"Bearer {provider.token(email=None)}", "organization": organisation}

    with connect(f"ws://{signed.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256"])
def test_keys_of_every_usual_kind_are_taken(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str, algorithm: str
) -> None:
    invite(harness, address)
    provider.new_key("another", algorithm)

    assert status(signed, provider.token("another", email=address)) == 200


def test_a_key_that_was_changed_is_asked_for_again(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite(harness, address)
    assert status(signed, provider.token(email=address)) == 200
    monkeypatch.setattr("server.auth.oidc.RETRY_INTERVAL", 0.0)

    provider.new_key("two")
    fresh = status(signed, provider.token("two", email=address))
    withdrawn = provider.token("one", email=address)
    del provider.keys["one"]
    provider.new_key("three")

    assert fresh == 200
    assert status(signed, provider.token("three", email=address)) == 200
    assert status(signed, withdrawn) == 401


def test_forged_names_of_keys_do_not_make_us_hammer_the_provider(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    invite(harness, address)
    good = provider.token(email=address)
    assert status(signed, good) == 200

    refused = [status(signed, provider.token(headers={"kid": f"forged-{number}"})) for number in range(20)]

    assert refused == [401] * 20
    assert provider.requests[KEYS] == 1
    assert status(signed, good) == 200


def test_while_the_provider_is_away_known_keys_stay_good(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite(harness, address)
    token = provider.token(email=address)
    assert status(signed, token) == 200
    provider.unavailable = True

    monkeypatch.setattr("server.auth.oidc.METADATA_TTL", 0.0)

    assert status(signed, token) == 200
    monkeypatch.setattr("server.auth.oidc.STALE_METADATA_TTL", 0.0)
    assert status(signed, token) == 503


def test_nobody_is_let_in_before_the_provider_was_heard(signed: Api, provider: IdentityProvider) -> None:
    provider.unavailable = True

    answer = bearer(signed, provider.token()).post(ME)

    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    with connect(f"ws://{signed.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket:
        payload = {"authorization": f"Bearer {provider.token()}"}
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


def test_a_document_of_another_issuer_is_not_believed(signed: Api, provider: IdentityProvider) -> None:
    provider.claimed_issuer = "https://mallory.example"

    assert status(signed, provider.token()) == 503
    assert provider.requests[KEYS] == 0


def public_pem(provider: IdentityProvider) -> bytes:
    key: Any = provider.keys["one"][1]
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def forged(provider: IdentityProvider, header: dict[str, Any], secret: bytes = b"") -> str:
    """A token put together by hand, because the library refuses to make it."""
    claims = json.dumps(provider.claims(), default=lambda moment: int(moment.timestamp()))
    signing = f"{spelled(json.dumps(header).encode())}.{spelled(claims.encode())}"
    digest = hashlib.sha512 if header.get("alg") == "HS512" else hashlib.sha256
    signature = hmac.new(secret, signing.encode(), digest).digest() if secret else b""
    return f"{signing}.{spelled(signature)}"


def spelled(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def hours(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=number)


def tampered(token: str, **claims: Any) -> str:
    header, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | claims
    return f"{header}.{spelled(json.dumps(said).encode())}.{signature}"


def of_another_key(provider: IdentityProvider, **headers: Any) -> str:
    with_another = IdentityProvider(provider.issuer)
    with_another.new_key("one")
    return with_another.token(headers=headers)


TRICKS: dict[str, Callable[[IdentityProvider], str]] = {
    "alg none": lambda provider: forged(provider, {"alg": "none", "typ": "JWT", "kid": "one"}),
    "alg None": lambda provider: forged(provider, {"alg": "None", "typ": "JWT", "kid": "one"}),
    "no alg": lambda provider: forged(provider, {"typ": "JWT", "kid": "one"}),
    "alg of a list": lambda provider: forged(provider, {"alg": ["RS256"], "kid": "one"}),
    "HS256 with the public key": lambda provider: forged(
        provider, {"alg": "HS256", "kid": "one"}, public_pem(provider)
    ),
    "HS512 with the public key": lambda provider: forged(
        provider, {"alg": "HS512", "kid": "one"}, public_pem(provider)
    ),
    "HS256 in small letters": lambda provider: forged(provider, {"alg": "hs256", "kid": "one"}, public_pem(provider)),
    "another algorithm of the same key": lambda provider: jwt.encode(
        provider.claims(),
        provider.keys["one"][1],  # type: ignore[arg-type]  # an RSA key
        "PS256",
        headers={"kid": "one"},
    ),
    "another key of the same name": of_another_key,
    "a key in its header": lambda provider: of_another_key(
        provider, jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"}, jku="https://mallory.example/keys"
    ),
    "unknown kid": lambda provider: provider.token(headers={"kid": "two"}),
    "no kid": lambda provider: provider.token(headers={"kid": None}),
    "kid with a path": lambda provider: provider.token(headers={"kid": "../../../../dev/null"}),
    "kid with a statement": lambda provider: provider.token(headers={"kid": "one' OR '1'='1"}),
    "a symmetric key that was published": lambda provider: forged(
        provider, {"alg": "HS256", "kid": "shared"}, PUBLISHED_SECRET
    ),
    "another audience": lambda provider: provider.token(aud="https://somebody.example"),
    "no audience": lambda provider: provider.token(aud=None),
    "another issuer": lambda provider: provider.token(iss="https://mallory.example"),
    "the issuer with a slash": lambda provider: provider.token(iss=f"{provider.issuer}/"),
    "no issuer": lambda provider: provider.token(iss=None),
    "expired": lambda provider: provider.token(exp=hours(-1)),
    "never expires": lambda provider: provider.token(exp=None),
    "expires in a word": lambda provider: tampered(provider.token(), exp="never"),
    "not yet good": lambda provider: provider.token(nbf=hours(1)),
    "issued tomorrow": lambda provider: provider.token(iat=hours(24)),
    "issued never": lambda provider: provider.token(iat=None),
    "nobody": lambda provider: provider.token(sub=None),
    "an empty subject": lambda provider: provider.token(sub=""),
    "a long subject": lambda provider: provider.token(sub="a" * 300),
    "a subject with a NUL": lambda provider: provider.token(sub="ada-1\0"),
    "a logout token": lambda provider: provider.token(headers={"typ": "logout+jwt"}),
    "an address put in later": lambda provider: tampered(provider.token(), email="owner@shop.example"),
    "no signature": lambda provider: provider.token().rpartition(".")[0] + ".",
    "half of it": lambda provider: provider.token().rpartition(".")[0],
    "an unknown critical header": lambda provider: provider.token(headers={"crit": ["b64"], "b64": False}),
    "nothing like it": lambda _: "abc",
}


@SHORT_KEY
@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_with_a_token_lets_anybody_in(tricked: tuple[Api, IdentityProvider], trick: str) -> None:
    api, provider = tricked

    answer = bearer(api, TRICKS[trick](provider)).post(ME)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "data" not in answer.json()


def test_a_token_without_a_trick_lets_in(tricked: tuple[Api, IdentityProvider]) -> None:
    api, provider = tricked

    assert status(api, provider.token()) == 200


def test_tokens_of_our_own_are_refused_where_people_sign_in(signed: Api, harness: RunHarness) -> None:
    everybody = [
        member_identity(harness.organisation.id),
        service_account_identity(harness.organisation.id, "tenants:read"),
    ]

    for identity in everybody:
        assert signed.client(identity).post(ME).status_code == 401


def test_they_are_taken_there_when_a_setting_says_so(
    harness: RunHarness, redis_url: str, provider: IdentityProvider
) -> None:
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "signed_tokens": True}
    with running_api(harness.settings.model_copy(update=more)) as api:
        assert api.member(harness.organisation.id).execute(ME)


def test_support_comes_with_a_token_of_hours_at_the_most(signed: Api) -> None:
    sam = Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example"))

    assert bearer(signed, sign_token(signed.settings, sam, timedelta(hours=11))).post(ME).status_code == 200
    assert bearer(signed, sign_token(signed.settings, sam, timedelta(hours=13))).post(ME).status_code == 401


def test_a_socket_lives_as_long_as_the_members_token(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.auth.oidc.LEEWAY", 0)
    invite(harness, address)
    brief = bearer(signed, provider.token(email=address, exp=datetime.now(UTC) + timedelta(seconds=4)))

    with brief.connected() as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_member_who_is_removed_signs_in_no_more(
    signed: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address)
    client = bearer(signed, provider.token(email=address))
    client.execute(ME)

    with harness.database.transaction() as session:
        session.delete(session.get_one(Member, member.id))

    wait_until(lambda: client.post(ME).status_code == 401, within=5)


@pytest.mark.parametrize("wrong", [
    {"oidc_issuer": "http://login.example.com", "oidc_audience": "x"},
    {"oidc_issuer": "https://login.example.com?x=y", "oidc_audience": "x"},
    {"oidc_issuer": "login.example.com", "oidc_audience": "x"},
    {"oidc_issuer": "https://login.example.com"},
    {"oidc_audience": "x"},
])  # fmt: skip
def test_an_issuer_that_makes_no_sense_stops_the_start(database_url: str, wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsRefused):
        read_settings(wrong)


@pytest.fixture(scope="module")
def tricked(database_url: str, redis_url: str) -> Iterator[tuple[Api, IdentityProvider]]:
    """An API with a member whom a good token would be, and a provider that published one secret too many."""
    with identity_provider() as provider, run_harness_in(settings()) as harness:
        provider.extra_keys.append({"kty": "oct", "kid": "shared", "alg": "HS256", "k": spelled(PUBLISHED_SECRET)})
        invite(harness, "ada@shop.example", subject=f"{provider.issuer} ada-1", joined_at=datetime.now(UTC))
        more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
        with running_api(harness.settings.model_copy(update=more)) as api:
            yield api, provider
