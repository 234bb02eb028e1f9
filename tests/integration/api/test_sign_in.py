"""Sign-in of members with an identity provider's tokens, and the refusal of every forged or invalid token."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import idna
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlmodel import Session, col, select
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from access import principals
from access.permissions import Identity
from access.principals import Principal, PrincipalRef
from models import ActorKind, Event, Member, Role
from models.columns import new_id
from provisioning.actors import Actor
from runtime.settings import SettingsRefused, read_settings, settings
from server.auth.tokens import sign_token
from tests.api import PROTOCOL, TIMEOUT, Api, Client, member_identity, running_api, service_account_identity
from tests.identity_provider import AUDIENCE, KEYS, IdentityProvider, identity_provider
from tests.run_harness import RunHarness, run_harness_in
from tests.waiting import wait_until

ME = "{ viewer { actor { id kind displayName } scopes } }"
PUBLISHED_SECRET = b"a symmetric key in the public key set"
SHORT_KEY = pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
"""A forged token may be signed with a key that is too short."""


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def oidc_api(harness: RunHarness, redis_url: str, provider: IdentityProvider) -> Iterator[Api]:
    """An API with members that sign in with the provider."""
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
    with running_api(harness.settings.model_copy(update=more)) as running:
        yield running


@pytest.fixture
def address(harness: RunHarness) -> str:
    """An e-mail address invited to this organisation only: an invitation is found in every organisation."""
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


def event_types_of(harness: RunHarness) -> list[str]:
    mine = select(Event.type).where(Event.organisation_id == harness.organisation.id).order_by(col(Event.position))
    return harness.read(lambda session: list(session.exec(mine)))


def bearer(api: Api, token: str) -> Client:
    return Client(api.address, f"Bearer {token}")


def status(api: Api, token: str) -> int:
    return bearer(api, token).post(ME).status_code


def test_the_first_sign_in_binds_the_invited_member_to_the_tokens_subject(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address.upper())

    client = bearer(oidc_api, provider.token(email=address))
    first, again = client.execute(ME), client.execute(ME)

    assert first == again
    assert first["viewer"]["actor"]["displayName"] == address.upper()
    bound = row_of(harness, member)
    assert bound.subject == f"{provider.issuer} ada-1"
    assert bound.joined_at is not None
    assert event_types_of(harness) == ["org.member_joined"]


def test_a_bound_member_is_found_by_subject_and_not_by_email_address(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address)
    bearer(oidc_api, provider.token(email=address)).execute(ME)

    new_address = provider.token(email="ada.king@elsewhere.example")
    no_address = provider.token(email=None, email_verified=None)
    takeover = provider.token(sub="mallory-7", email=address)

    assert [status(oidc_api, token) for token in (new_address, no_address, takeover)] == [200, 200, 401]
    assert row_of(harness, member).subject == f"{provider.issuer} ada-1"


@pytest.mark.parametrize("claims", [
    {"email_verified": False},
    {"email_verified": None},
    {"email_verified": "true"},
    {"email_verified": 1},
    {"email": None},
    {"email": ["ada@shop.example"]},
])  # fmt: skip
def test_an_unverified_email_address_does_not_sign_in(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str, claims: dict[str, Any]
) -> None:
    member = invite(harness, address)

    assert status(oidc_api, provider.token(**({"email": address} | claims))) == 401
    assert row_of(harness, member).subject is None


@pytest.mark.parametrize(("invited", "claimed"), [
    ("josé@{}.example", "jose\u0301@{}.example"),
    ("jose\u0301@{}.example", "JOSÉ@{}.example"),
    ("JOSÉ@{}.example", "JOSÉ@{}.example"),
    ("ada@bücher-{}.example", "ada@{xn}.example"),
    ("ada@{xn}.example", "Ada@BÜCHER-{}.example"),
    ("ada@{}.local", "ADA@{}.LOCAL"),
])  # fmt: skip
def test_an_address_in_another_spelling_than_the_invitation_signs_in(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, invited: str, claimed: str
) -> None:
    slug = harness.organisation.slug
    xn = idna.encode(f"bücher-{slug}").decode()
    member = invite(harness, invited.format(slug, xn=xn))

    assert status(oidc_api, provider.token(email=claimed.format(slug, xn=xn))) == 200
    assert row_of(harness, member).subject == f"{provider.issuer} ada-1"


@pytest.mark.parametrize(("claims", "missing"), [
    ({"email_verified": None}, "email_verified"),
    ({"email_verified": False}, "email_verified"),
    ({"email_verified": "true"}, "email_verified"),
    ({"email": None}, "email"),
    ({"email": ""}, "email"),
])  # fmt: skip
def test_a_refused_first_sign_in_names_the_missing_claim_to_the_person_and_in_the_log(
    oidc_api: Api,
    harness: RunHarness,
    provider: IdentityProvider,
    address: str,
    claims: dict[str, Any],
    missing: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    invite(harness, address)

    answer = bearer(oidc_api, provider.token(**({"email": address} | claims))).post(ME)

    assert answer.json()["errors"][0]["message"] == (
        "Sign-in failed: the token has no verified e-mail address, because the claim "
        f"{missing} is missing or not valid."
    )
    (line,) = [record for record in caplog.records if record.message == "sign-in refused: no member for the token"]
    assert vars(line)["claim"] == missing
    assert address not in caplog.text


@pytest.mark.parametrize(("claims", "cause", "claim"), [
    ({"sub": None}, "MissingRequiredClaimError", "sub"),
    ({"iat": None}, "MissingRequiredClaimError", "iat"),
    ({"aud": None}, "MissingRequiredClaimError", "aud"),
    ({"aud": "https://other.example"}, "InvalidAudienceError", "aud"),
    ({"iss": "https://other.example"}, "InvalidIssuerError", "iss"),
])  # fmt: skip
def test_the_log_says_why_a_token_was_refused(
    oidc_api: Api,
    provider: IdentityProvider,
    claims: dict[str, Any],
    cause: str,
    claim: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")

    assert status(oidc_api, provider.token(**claims)) == 401

    (line,) = [record for record in caplog.records if record.message == "token refused"]
    assert (vars(line)["cause"], vars(line)["claim"]) == (cause, claim)


@pytest.mark.parametrize(("verified", "expected"), [(None, 200), (True, 200), (False, 401), ("false", 401), (0, 401)])
def test_a_trusted_provider_may_leave_email_verified_out_but_not_deny_it(
    harness: RunHarness, provider: IdentityProvider, address: str, verified: object, expected: int
) -> None:
    invite(harness, address)
    trusting = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "oidc_trust_email": True}

    with running_api(harness.settings.model_copy(update=trusting)) as api:
        assert status(api, provider.token(email=address, email_verified=verified)) == expected


def test_an_invitation_of_three_weeks_ago_has_expired(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address, invited_at=datetime.now(UTC) - timedelta(weeks=3))

    assert status(oidc_api, provider.token(email=address)) == 401
    assert row_of(harness, member).subject is None


def test_a_user_who_is_not_a_member_gets_the_advice_to_ask_for_an_invitation(
    oidc_api: Api, provider: IdentityProvider
) -> None:
    answer = bearer(oidc_api, provider.token(sub="unknown", email="unknown@nowhere.example")).post(ME)

    assert answer.status_code == 401
    assert "ask for an invitation" in answer.json()["errors"][0]["message"]


def test_a_member_of_several_organisations_must_name_one_in_the_header(
    oidc_api: Api, harness: RunHarness, other: RunHarness, provider: IdentityProvider, address: str
) -> None:
    invite(harness, address, Role.VIEWER)
    invite(other, address, Role.ADMIN)
    client = bearer(oidc_api, provider.token(sub=new_id().hex, email=address))

    undecided = client.post(ME)
    scopes = {}
    for one in (harness, other):
        client.headers["Tenantry-Organization"] = one.organisation.slug
        scopes[one.organisation.slug] = client.execute(ME)["viewer"]["scopes"]
    client.headers["Tenantry-Organization"] = "another-organisation"

    assert undecided.status_code == 401
    assert "choose one with the header Tenantry-Organization" in undecided.json()["errors"][0]["message"]
    assert "tenants:write" not in scopes[harness.organisation.slug]
    assert "tenants:write" in scopes[other.organisation.slug]
    assert client.post(ME).status_code == 401


@pytest.fixture
def revalidations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Revalidate sessions ten times a second instead of every two seconds; the number of sessions of each time."""
    counts: list[int] = []
    load_principals = principals.load_principals

    def load_and_count(session: Session, refs: Collection[PrincipalRef]) -> dict[PrincipalRef, Principal]:
        found = load_principals(session, refs)
        counts.append(len(refs))
        return found

    monkeypatch.setattr(principals, "load_principals", load_and_count)
    monkeypatch.setattr("server.auth.authenticator.REVALIDATION_INTERVAL", 0.1)
    return counts


def test_joining_a_second_organisation_closes_no_websocket_of_the_first(
    revalidations: list[int],
    oidc_api: Api,
    harness: RunHarness,
    other: RunHarness,
    provider: IdentityProvider,
    address: str,
) -> None:
    invite(harness, address)
    token = provider.token(sub=new_id().hex, email=address)

    with bearer(oidc_api, token).connected() as socket:
        invite(other, address)
        second = bearer(oidc_api, token)
        second.headers["Tenantry-Organization"] = other.organisation.slug
        assert second.execute(ME)
        before = len(revalidations)
        wait_until(lambda: len(revalidations) >= before + 2)
        with pytest.raises(TimeoutError):
            socket.recv(0.5)


@pytest.mark.parametrize("organisation", ["\0", "a" * 300, "'; --", "Shop"])
def test_an_invalid_organisation_name_closes_the_websocket_with_4401(
    oidc_api: Api, provider: IdentityProvider, organisation: str
) -> None:
    payload = {"authorization": f"Bearer {provider.token(email=None)}", "organization": organisation}

    with connect(f"ws://{oidc_api.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "RS256"])
def test_tokens_signed_with_each_supported_algorithm_are_accepted(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str, algorithm: str
) -> None:
    invite(harness, address)
    provider.new_key("another", algorithm)

    assert status(oidc_api, provider.token("another", email=address)) == 200


def test_changed_keys_are_fetched_again(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite(harness, address)
    assert status(oidc_api, provider.token(email=address)) == 200
    monkeypatch.setattr("server.auth.oidc.RETRY_INTERVAL", 0.0)

    provider.new_key("two")
    fresh = status(oidc_api, provider.token("two", email=address))
    withdrawn = provider.token("one", email=address)
    del provider.keys["one"]
    provider.new_key("three")

    assert fresh == 200
    assert status(oidc_api, provider.token("three", email=address)) == 200
    assert status(oidc_api, withdrawn) == 401


def test_unknown_key_ids_do_not_cause_a_request_to_the_provider_each(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    invite(harness, address)
    good = provider.token(email=address)
    assert status(oidc_api, good) == 200

    refused = [status(oidc_api, provider.token(headers={"kid": f"forged-{number}"})) for number in range(20)]

    assert refused == [401] * 20
    assert provider.requests[KEYS] == 1
    assert status(oidc_api, good) == 200


def test_known_keys_stay_valid_while_the_provider_is_unreachable(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite(harness, address)
    token = provider.token(email=address)
    assert status(oidc_api, token) == 200
    provider.unavailable = True

    monkeypatch.setattr("server.auth.oidc.METADATA_TTL", 0.0)

    assert status(oidc_api, token) == 200
    monkeypatch.setattr("server.auth.oidc.STALE_METADATA_TTL", 0.0)
    assert status(oidc_api, token) == 503


def test_authentication_is_unavailable_before_the_provider_was_reached(
    oidc_api: Api, provider: IdentityProvider
) -> None:
    provider.unavailable = True

    answer = bearer(oidc_api, provider.token()).post(ME)

    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    with connect(f"ws://{oidc_api.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket:
        payload = {"authorization": f"Bearer {provider.token()}"}
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


def test_a_discovery_document_of_another_issuer_is_rejected(oidc_api: Api, provider: IdentityProvider) -> None:
    provider.claimed_issuer = "https://mallory.example"

    assert status(oidc_api, provider.token()) == 503
    assert provider.requests[KEYS] == 0


def public_pem(provider: IdentityProvider) -> bytes:
    key: Any = provider.keys["one"][1]
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def forged(provider: IdentityProvider, header: dict[str, Any], secret: bytes = b"") -> str:
    """A token assembled by hand, because the library refuses to create it."""
    claims = json.dumps(provider.claims(), default=lambda time: int(time.timestamp()))
    signing = f"{base64url(json.dumps(header).encode())}.{base64url(claims.encode())}"
    digest = hashlib.sha512 if header.get("alg") == "HS512" else hashlib.sha256
    signature = hmac.new(secret, signing.encode(), digest).digest() if secret else b""
    return f"{signing}.{base64url(signature)}"


def base64url(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def hours_from_now(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=number)


def tampered(token: str, **claims: Any) -> str:
    header, payload, signature = token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | claims
    return f"{header}.{base64url(json.dumps(changed).encode())}.{signature}"


def signed_with_another_key(provider: IdentityProvider, **headers: Any) -> str:
    impostor = IdentityProvider(provider.issuer)
    impostor.new_key("one")
    return impostor.token(headers=headers)


INVALID_TOKENS: dict[str, Callable[[IdentityProvider], str]] = {
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
    "HS256 in lower case": lambda provider: forged(provider, {"alg": "hs256", "kid": "one"}, public_pem(provider)),
    "another algorithm of the same key": lambda provider: jwt.encode(
        provider.claims(),
        provider.keys["one"][1],  # type: ignore[arg-type]  # an RSA key
        "PS256",
        headers={"kid": "one"},
    ),
    "another key with the same id": signed_with_another_key,
    "a key in its header": lambda provider: signed_with_another_key(
        provider, jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"}, jku="https://mallory.example/keys"
    ),
    "unknown kid": lambda provider: provider.token(headers={"kid": "two"}),
    "no kid": lambda provider: provider.token(headers={"kid": None}),
    "kid with a path": lambda provider: provider.token(headers={"kid": "../../../../dev/null"}),
    "kid with a statement": lambda provider: provider.token(headers={"kid": "one' OR '1'='1"}),
    "a symmetric key that was published": lambda provider: forged(
        provider, {"alg": "HS256", "kid": "shared"}, PUBLISHED_SECRET
    ),
    "another audience": lambda provider: provider.token(aud="https://another.example"),
    "no audience": lambda provider: provider.token(aud=None),
    "another issuer": lambda provider: provider.token(iss="https://mallory.example"),
    "the issuer with a slash": lambda provider: provider.token(iss=f"{provider.issuer}/"),
    "no issuer": lambda provider: provider.token(iss=None),
    "expired": lambda provider: provider.token(exp=hours_from_now(-1)),
    "never expires": lambda provider: provider.token(exp=None),
    "an expiry that is no number": lambda provider: tampered(provider.token(), exp="never"),
    "not yet valid": lambda provider: provider.token(nbf=hours_from_now(1)),
    "issued tomorrow": lambda provider: provider.token(iat=hours_from_now(24)),
    "no time of issue": lambda provider: provider.token(iat=None),
    "no subject": lambda provider: provider.token(sub=None),
    "an empty subject": lambda provider: provider.token(sub=""),
    "a long subject": lambda provider: provider.token(sub="a" * 300),
    "a subject with a NUL": lambda provider: provider.token(sub="ada-1\0"),
    "a logout token": lambda provider: provider.token(headers={"typ": "logout+jwt"}),
    "a claim changed after signing": lambda provider: tampered(provider.token(), email="owner@shop.example"),
    "no signature": lambda provider: provider.token().rpartition(".")[0] + ".",
    "no third part": lambda provider: provider.token().rpartition(".")[0],
    "an unknown critical header": lambda provider: provider.token(headers={"crit": ["b64"], "b64": False}),
    "not a token": lambda _: "abc",
}


@SHORT_KEY
@pytest.mark.parametrize("name", INVALID_TOKENS)
def test_an_invalid_token_of_the_provider_is_unauthenticated(
    api_with_member: tuple[Api, IdentityProvider], name: str
) -> None:
    api, provider = api_with_member

    response = bearer(api, INVALID_TOKENS[name](provider)).post(ME)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "data" not in response.json()


def test_a_valid_token_of_the_provider_is_accepted(api_with_member: tuple[Api, IdentityProvider]) -> None:
    """Otherwise the refusals above would prove nothing."""
    api, provider = api_with_member

    assert status(api, provider.token()) == 200


def test_signed_tokens_are_refused_while_members_sign_in_with_a_provider(oidc_api: Api, harness: RunHarness) -> None:
    identities = [
        member_identity(harness.organisation.id),
        service_account_identity(harness.organisation.id, "tenants:read"),
    ]

    for identity in identities:
        assert oidc_api.client(identity).post(ME).status_code == 401


def test_signed_tokens_are_accepted_beside_a_provider_if_the_setting_allows_them(
    harness: RunHarness, redis_url: str, provider: IdentityProvider
) -> None:
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "signed_tokens": True}
    with running_api(harness.settings.model_copy(update=more)) as api:
        assert api.member(harness.organisation.id).execute(ME)


def test_a_support_token_may_live_for_twelve_hours_at_most(oidc_api: Api) -> None:
    sam = Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example"))

    assert bearer(oidc_api, sign_token(oidc_api.settings, sam, timedelta(hours=11))).post(ME).status_code == 200
    assert bearer(oidc_api, sign_token(oidc_api.settings, sam, timedelta(hours=13))).post(ME).status_code == 401


def test_a_websocket_is_closed_when_the_members_token_expires(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.auth.oidc.LEEWAY", 0)
    invite(harness, address)
    brief = bearer(oidc_api, provider.token(email=address, exp=datetime.now(UTC) + timedelta(seconds=4)))

    with brief.connected() as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_removed_member_is_unauthenticated_within_seconds(
    oidc_api: Api, harness: RunHarness, provider: IdentityProvider, address: str
) -> None:
    member = invite(harness, address)
    client = bearer(oidc_api, provider.token(email=address))
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
def test_invalid_settings_of_the_provider_are_refused_at_startup(database_url: str, wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsRefused):
        read_settings(wrong)


@pytest.fixture(scope="module")
def api_with_member(database_url: str, redis_url: str) -> Iterator[tuple[Api, IdentityProvider]]:
    """An API with a member bound to the provider's subject. The provider's key set also has a symmetric key."""
    with identity_provider() as provider, run_harness_in(settings()) as harness:
        provider.extra_keys.append({"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64url(PUBLISHED_SECRET)})
        invite(harness, "ada@shop.example", subject=f"{provider.issuer} ada-1", joined_at=datetime.now(UTC))
        more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
        with running_api(harness.settings.model_copy(update=more)) as api:
            yield api, provider
