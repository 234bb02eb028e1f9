"""Authorization by role, scope and organisation, and the refusal of every invalid token."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from anyio import CapacityLimiter
from sqlmodel import col, select
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from access.permissions import Identity
from models import ActorKind, Event, Role, TenantState
from models.columns import new_id
from provisioning.actors import Actor
from provisioning.commands import NewTenant, create_tenant
from server.auth import tokens
from server.auth.authenticator import Authenticator
from tests.api import PROTOCOL, TIMEOUT, Api, Client, Facts, member_identity, service_account_identity, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import all_rows, bring_tenant_to

READ = "query Read($id: ID!) { tenant(id: $id) { slug firstAdminEmail availableActions } }"
FEED = "{ auditEvents(first: 100) { edges { node { type data tenant { slug } } } } }"
CHANGES: dict[str, dict[str, Any]] = {
    "updateTenant": {"name": "Other"},
    "cancelProvisioning": {},
    "retryProvisioning": {},
    "resumeCompensation": {},
    "suspendTenant": {},
    "resumeTenant": {},
    "decommissionTenant": {},
    "recreateTenant": {},
    "resendWelcomeEmails": {},
}


SHORT_KEY = pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
"""The key's length suits HS256; a forged token uses it with another algorithm."""


def code_of(payload: Facts) -> str | None:
    return payload["userErrors"][0]["code"] if payload["userErrors"] else None


def denials_of(harness: RunHarness) -> list[Event]:
    mine = select(Event).where(Event.organisation_id == harness.organisation.id, Event.type == "access.denied")
    return harness.read(lambda session: list(session.exec(mine.order_by(col(Event.position)))))


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_owners_and_admins_may_read_and_change_tenants(api: Api, harness: RunHarness, role: Role) -> None:
    client = api.member(harness.organisation.id, role)
    bring_tenant_to(harness, TenantState.ACTIVE)

    assert client.execute(READ, id=tenant_gid(harness.tenant_id))["tenant"] == {
        "slug": "shop",
        "firstAdminEmail": "first@shop.example",
        "availableActions": ["SUSPEND", "DECOMMISSION", "RESEND_WELCOME_EMAILS"],
    }
    assert code_of(client.mutate("suspendTenant", tenantId=tenant_gid(harness.tenant_id))) is None


def test_a_viewer_reads_tenants_and_may_change_nothing(api: Api, harness: RunHarness) -> None:
    viewer = api.member(harness.organisation.id, Role.VIEWER)
    harness.create()
    before = all_rows(harness)

    tenant = viewer.execute(READ, id=tenant_gid(harness.tenant_id))["tenant"]
    for mutation, facts in CHANGES.items():
        payload = viewer.mutate(mutation, "tenant { slug }", tenantId=tenant_gid(harness.tenant_id), **facts)
        assert code_of(payload) == "FORBIDDEN", mutation
        assert payload["tenant"] == {"slug": "shop"}
    created = viewer.mutate("createTenant", "tenant { id }", slug="x1", plan="free", firstAdminEmail="a@b.example")
    many = viewer.mutate("cancelProvisionings", "results { alreadyRequested }", filter={})

    assert tenant == {"slug": "shop", "firstAdminEmail": "first@shop.example", "availableActions": []}
    assert (code_of(created), created["tenant"]) == ("FORBIDDEN", None)
    assert (code_of(many), many["results"]) == ("FORBIDDEN", [])
    assert all_rows(harness) == before
    denials = denials_of(harness)
    assert [event.data["action"] for event in denials] == [*CHANGES, "createTenant", "cancelProvisionings"]
    reason = "You are not allowed to call cancelProvisioning: you need the right tenants:cancel."
    assert denials[1].data["reason"] == reason
    assert (denials[1].actor_kind, denials[1].tenant_id) == (ActorKind.USER, None)


def test_a_service_account_may_do_what_its_scopes_allow_and_nothing_else(api: Api, harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    tenant_id = tenant_gid(harness.tenant_id)
    reader = api.service_account(harness.organisation.id, "tenants:read")
    writer = api.service_account(harness.organisation.id, "tenants:write")
    canceller = api.service_account(harness.organisation.id, "tenants:cancel")
    auditor = api.service_account(harness.organisation.id, "audit:read")
    without_scopes = api.service_account(harness.organisation.id)

    assert reader.execute(READ, id=tenant_id)["tenant"] == {
        "slug": "shop",
        "firstAdminEmail": None,
        "availableActions": [],
    }
    for client in (writer, canceller, auditor, without_scopes):
        assert client.error(READ, id=tenant_id)["extensions"]["code"] == "FORBIDDEN"
        assert client.error("{ tenants { totalCount } }")["extensions"]["code"] == "FORBIDDEN"
    for client in (reader, writer, canceller, without_scopes):
        assert client.error(FEED)["extensions"]["code"] == "FORBIDDEN"
    assert auditor.execute(FEED)["auditEvents"]["edges"]
    assert code_of(writer.mutate("suspendTenant", tenantId=tenant_id)) is None
    assert code_of(writer.mutate("cancelProvisioning", tenantId=tenant_id)) == "FORBIDDEN"
    assert code_of(canceller.mutate("cancelProvisioning", tenantId=tenant_id)) == "INVALID_STATE"
    assert code_of(canceller.mutate("resumeTenant", tenantId=tenant_id)) == "FORBIDDEN"
    assert code_of(without_scopes.mutate("resumeTenant", tenantId=tenant_id)) == "FORBIDDEN"
    assert canceller.execute("{ viewer { scopes } }")["viewer"]["scopes"] == ["tenants:cancel"]


def test_the_scope_audit_read_alone_gives_no_access_to_the_tenant_or_run_of_an_entry(
    api: Api, harness: RunHarness
) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    auditor = api.service_account(harness.organisation.id, "audit:read")
    document = """{ auditEvents(first: 8) { edges { node {
      type actor { kind } data
      tenant { slug heldResources { kind } currentRun { number } runs { edges { node { number } } } }
      run { number steps { name } resources { kind } tenant { slug } timeline { edges { node { message } } } }
    } } } }"""

    nodes = [edge["node"] for edge in auditor.execute(document)["auditEvents"]["edges"]]

    assert {node["type"] for node in nodes} >= {"tenant.created", "tenant.provisioning.started"}
    assert all(node["tenant"] is node["run"] is None for node in nodes)


@pytest.mark.parametrize("below", [
    "heldResources { kind }",
    "runs(first: 1) { edges { node { timeline(first: 1) { edges { node { message } } } } } }",
])  # fmt: skip
def test_the_scope_tenants_cancel_alone_gives_no_access_to_objects_below_the_tenant(
    api: Api, harness: RunHarness, below: str
) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.claim()
    canceller = api.service_account(harness.organisation.id, "tenants:cancel")
    document = "mutation C($id: ID!) { cancelProvisioning(input: {tenantId: $id}) { tenant { slug %s } } }"
    flat = "availableActions currentRun { number } cancellationPreview { interruptible } recreatedFrom { slug }"

    deep = canceller.result(document % below, id=tenant_gid(harness.tenant_id))
    shown = canceller.execute(document % flat, id=tenant_gid(harness.tenant_id))["cancelProvisioning"]["tenant"]

    assert deep["data"] == {"cancelProvisioning": {"tenant": None}}
    assert [error["extensions"]["code"] for error in deep["errors"]] == ["FORBIDDEN"]
    assert shown.pop("availableActions") == []
    assert shown == {"slug": "shop", "currentRun": None, "cancellationPreview": None, "recreatedFrom": None}


def test_the_scope_tenants_cancel_alone_gives_no_access_to_objects_below_the_run(api: Api, harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.claim()
    canceller = api.service_account(harness.organisation.id, "tenants:cancel")
    document = "mutation C($id: ID!) { cancelProvisioning(input: {tenantId: $id}) { run { number %s } } }"

    for below in ("steps { name }", "resources { kind }", "absenceChecks { askedAt }", "timeline { edges { cursor } }"):
        answer = canceller.result(document % below, id=tenant_gid(harness.tenant_id))
        assert answer["data"] == {"cancelProvisioning": {"run": None}}, below
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert canceller.execute(document % "", id=tenant_gid(harness.tenant_id))["cancelProvisioning"]["run"] == {
        "number": 1
    }


def test_the_feed_omits_personal_data_for_a_service_account(api: Api, harness: RunHarness) -> None:
    harness.create(start=False)
    auditor = api.service_account(harness.organisation.id, "audit:read")
    owner = api.member(harness.organisation.id)
    owner.mutate("updateTenant", tenantId=tenant_gid(harness.tenant_id), firstAdminEmail="grace@shop.example", name="S")

    redacted = [edge["node"]["data"] for edge in auditor.execute(FEED)["auditEvents"]["edges"]]
    full = [edge["node"]["data"] for edge in owner.execute(FEED)["auditEvents"]["edges"]]

    assert redacted[0] == {"changes": {"name": ["shop", "S"]}}
    assert "@shop.example" not in json.dumps(redacted)
    assert full[0]["changes"]["first_admin_email"] == ["first@shop.example", "grace@shop.example"]


def test_a_service_account_limited_to_some_tenants_has_no_access_to_others(api: Api, harness: RunHarness) -> None:
    mine, hidden = harness.create("mine").tenant.id, harness.create("hidden").tenant.id
    scopes = ("tenants:read", "tenants:write", "tenants:cancel", "audit:read")
    limited = api.service_account(harness.organisation.id, *scopes, only={mine})

    assert limited.execute("{ tenants { totalCount nodes { slug } } }")["tenants"] == {
        "totalCount": 1,
        "nodes": [{"slug": "mine"}],
    }
    assert limited.execute(READ, id=tenant_gid(hidden)) == {"tenant": None}
    assert limited.execute('{ tenantBySlug(slug: "hidden") { id } }') == {"tenantBySlug": None}
    assert {edge["node"]["tenant"]["slug"] for edge in limited.execute(FEED)["auditEvents"]["edges"]} == {"mine"}
    assert code_of(limited.mutate("cancelProvisioning", tenantId=tenant_gid(hidden))) == "NOT_FOUND"
    created = limited.mutate("createTenant", slug="new", plan="free", firstAdminEmail="a@b.example")
    assert code_of(created) == "FORBIDDEN"
    assert code_of(limited.mutate("cancelProvisioning", tenantId=tenant_gid(mine))) is None


def test_support_reads_every_organisation_and_changes_none(api: Api, harness: RunHarness, other: RunHarness) -> None:
    harness.create("here")
    other.create("there")
    support = api.support()

    for one in (harness, other):
        tenant = support.execute(READ, id=tenant_gid(one.tenant_id))["tenant"]
        assert (tenant["firstAdminEmail"], tenant["availableActions"]) == (None, [])
        found = support.execute(
            "query O($slug: String) { organization(slug: $slug) { slug } }", slug=one.organisation.slug
        )
        assert found["organization"] == {"slug": one.organisation.slug}
        payload = support.mutate("cancelProvisioning", tenantId=tenant_gid(one.tenant_id))
        assert code_of(payload) == "FORBIDDEN"
        (denial,) = denials_of(one)
        assert (denial.actor_kind, denial.actor_email) == (ActorKind.SUPPORT, "sam@tenantry.example")
    assert support.execute("{ organization { slug } }") == {"organization": None}
    created = support.mutate("createTenant", slug="new", plan="free", firstAdminEmail="a@b.example")
    assert code_of(created) == "FORBIDDEN"


def test_a_bulk_cancel_by_support_is_recorded_as_a_denial_in_each_organisation(
    api: Api, harness: RunHarness, other: RunHarness
) -> None:
    tenants = [harness.create("here"), harness.create("too"), other.create("there")]

    payload = api.support().mutate("cancelProvisionings", tenantIds=[tenant_gid(one.tenant.id) for one in tenants])

    assert code_of(payload) == "FORBIDDEN"
    for one in (harness, other):
        (denial,) = denials_of(one)
        assert (denial.actor_kind, denial.data["action"]) == (ActorKind.SUPPORT, "cancelProvisionings")


def test_the_objects_of_another_organisation_are_not_found(api: Api, harness: RunHarness, other: RunHarness) -> None:
    harness.create("mine")
    other.create("theirs")
    owner = api.member(harness.organisation.id)
    theirs = api.member(other.organisation.id)
    run = theirs.execute(
        "query R($id: ID!) { tenant(id: $id) { organization { id } currentRun { id startedBy { id } } } }",
        id=tenant_gid(other.tenant_id),
    )["tenant"]
    event = theirs.execute("{ auditEvents(first: 1) { edges { node { id } } } }")["auditEvents"]["edges"][0]["node"][
        "id"
    ]
    ids = [tenant_gid(other.tenant_id), run["currentRun"]["id"], run["organization"]["id"], event]

    assert owner.execute("query N($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids) == {"nodes": [None] * 4}
    assert owner.execute('{ tenantBySlug(slug: "theirs") { id } }') == {"tenantBySlug": None}
    slug = other.organisation.slug
    assert owner.execute("query O($slug: String) { organization(slug: $slug) { id } }", slug=slug) == {
        "organization": None
    }
    assert owner.execute("{ tenants { nodes { slug } } }")["tenants"]["nodes"] == [{"slug": "mine"}]
    feed = "query F($id: ID!) { auditEvents(filter: {tenantId: $id}) { edges { cursor } } }"
    assert owner.execute(feed, id=tenant_gid(other.tenant_id))["auditEvents"]["edges"] == []
    feed = "query F($id: ID!) { auditEvents(filter: {runId: $id}) { edges { cursor } } }"
    assert owner.execute(feed, id=run["currentRun"]["id"])["auditEvents"]["edges"] == []


def test_a_mutation_on_another_organisation_is_recorded_as_a_denial_only_in_the_callers_own(
    api: Api, harness: RunHarness, other: RunHarness
) -> None:
    other.create("theirs")
    owner = api.member(harness.organisation.id)

    owner.mutate("cancelProvisioning", tenantId=tenant_gid(other.tenant_id))

    (denial,) = denials_of(harness)
    assert denial.data == {
        "action": "cancelProvisioning",
        "reason": "The tenant was not found: it does not exist, or you have no access to it.",
    }
    assert denials_of(other) == []


def claims(**overrides: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
        "iat": now,
        "exp": now + timedelta(hours=1),
        "sub": str(new_id()),
        "kind": "USER",
        "name": "Mallory",
        "role": "OWNER",
        "org": str(new_id()),
    } | overrides


def invalid_authorizations(api: Api) -> dict[str, str | None]:
    key = tokens._signing_key(api.settings)

    def signed(with_key: Any = key, algorithm: str = "HS256", **overrides: Any) -> str:
        given = {name: value for name, value in claims(**overrides).items() if value is not None}
        return f"Bearer {jwt.encode(given, with_key, algorithm=algorithm)}"

    return {
        "none": None,
        "empty": "",
        "no scheme": signed().removeprefix("Bearer "),
        "another scheme": "Basic b2xpdmU6b2xpdmU=",
        "no token": "Bearer",
        "not a token": "Bearer abc",
        "unsigned": signed(with_key=None, algorithm="none"),
        "another key": signed(with_key=b"x" * 32),
        "the raw secret": signed(with_key=api.settings.secret_key.get_secret_value().encode()),
        "another algorithm": signed(algorithm="HS384"),
        "expired": signed(exp=datetime.now(UTC) - timedelta(seconds=1)),
        "never expires": signed(exp=None),
        "another audience": signed(aud="another-service"),
        "another issuer": signed(iss="mallory"),
        "no subject": signed(sub=None),
        "no organisation": signed(org=None),
        "the platform": signed(kind="SYSTEM"),
        "unknown kind": signed(kind="ROOT"),
        "unknown role": signed(role="KING"),
        "support with an organisation": signed(kind="SUPPORT"),
    }


@SHORT_KEY
def test_a_request_with_an_invalid_token_is_unauthenticated(api: Api) -> None:
    for name, authorization in invalid_authorizations(api).items():
        response = Client(api.address, authorization).post("{ viewer { scopes } }")

        assert response.status_code == 401, name
        assert response.headers["WWW-Authenticate"].startswith("Bearer"), name
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED", name
        assert "data" not in response.json(), name


@SHORT_KEY
def test_a_websocket_with_an_invalid_token_is_closed_with_4401(api: Api) -> None:
    for name, authorization in invalid_authorizations(api).items():
        with connect(f"ws://{api.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": authorization}}))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(TIMEOUT)
        assert closed.value.rcvd is not None, name
        assert closed.value.rcvd.code == 4401, name


@pytest.mark.parametrize("payload", [None, {}, {"authorization": 7}, {"token": "x"}])
def test_a_websocket_without_a_token_is_closed_with_4401(api: Api, payload: object) -> None:
    with connect(f"ws://{api.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_an_expired_token_closes_the_websocket_and_its_subscriptions(api: Api, harness: RunHarness) -> None:
    harness.create()
    api.await_watchers(0)
    client = api.expiring_client(member_identity(harness.organisation.id))
    document = "subscription S($id: ID!) { tenantProvisioning(tenantId: $id) { kind } }"

    with client.subscribed(document, id=tenant_gid(harness.tenant_id)) as subscription:
        assert subscription.next() == {"kind": "RUN_STARTED"}
        with pytest.raises(ConnectionClosed) as closed:
            subscription.message()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    api.await_watchers(0)


def test_authenticating_a_signed_token_returns_the_identity_that_was_signed(api: Api, harness: RunHarness) -> None:
    identities = [
        member_identity(harness.organisation.id, Role.VIEWER),
        service_account_identity(harness.organisation.id, "tenants:read", "audit:read", only={new_id(), new_id()}),
        service_account_identity(harness.organisation.id, only=set()),
        Identity(Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example")),
    ]
    authenticator = Authenticator(api.settings, harness.database, CapacityLimiter(1))

    for identity in identities:
        token = tokens.sign_token(api.settings, identity, timedelta(minutes=1))
        assert asyncio.run(authenticator.authenticate(f"bearer  {token} ")).identity == identity


def test_a_service_account_limited_to_no_tenants_has_access_to_none(api: Api, harness: RunHarness) -> None:
    harness.transact(
        create_tenant,
        NewTenant(slug="shop", plan="free", first_admin_email="a@b.example"),
        organisation_id=harness.organisation.id,
        by=harness.operator,
        regions=harness.settings.regions,
    )
    limited = api.service_account(harness.organisation.id, "tenants:read", only=set())

    assert limited.execute("{ tenants { totalCount } }") == {"tenants": {"totalCount": 0}}
