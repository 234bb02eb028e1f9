"""No caller reads, changes or follows anything of another organisation, whichever field of the schema it uses."""

import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationType,
    build_schema,
    get_named_type,
    is_required_argument,
    is_required_input_field,
)
from sqlalchemy import true
from sqlmodel import Session

import runtime.database
from access.permissions import SCOPES
from models import Member, Role, ServiceAccount
from models.columns import new_id
from provisioning import audit_feed, cancellation, queries
from provisioning.actors import Actor
from provisioning.commands import Corrections, update_tenant
from runtime.database import clock
from runtime.settings import settings
from schema.node import global_id
from schema.root import build_schema as served_schema
from tests.api import Api, Client, Facts, running_api, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import all_rows
from tests.waiting import wait_until

# When a non-null field fails, graphql-core does not await the sibling fields, and Python warns about each coroutine.
# If the garbage collector runs in a frame without builtins, as in a namedtuple's constructor, the warning itself fails
# with the second message. Its dot stands for a colon, which would separate the parts of the filter.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    "ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning",
)

DEPTH = 2
"""Levels of objects selected below a root field's object: a tenant's run, and the run's steps."""

REFUSALS = {"FORBIDDEN", "NOT_FOUND", "BAD_USER_INPUT"}
"""The errors that a document of these tests may get. Any other error would mean that the document is invalid."""


@dataclass(frozen=True)
class Theirs:
    """Another organisation: the ids, cursors and slugs of its objects, and the texts that a leak would contain."""

    harness: RunHarness
    ids: dict[str, str]
    cursors: dict[str, str]
    slugs: tuple[str, ...]
    secrets: frozenset[str]
    hidden: frozenset[str]

    def leaks_in(self, result: object, variables: object = None) -> list[str]:
        """The organisation's texts that the result contains and the variables do not."""
        returned, sent = json.dumps(result), json.dumps(variables)
        return sorted(secret for secret in self.secrets | self.hidden if secret in returned and secret not in sent)


@pytest.fixture(scope="module", autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Collect coroutines that were never awaited here, so that no test of another module gets the warning."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def api(database_url: str, redis_url: str) -> Iterator[Api]:
    """An API with a rate limit that no test reaches."""
    with running_api(
        settings().model_copy(update=dict.fromkeys(("budget", "organisation_budget", "operation_cost"), 10**9))
    ) as running:
        yield running


@pytest.fixture
def theirs(api: Api, other: RunHarness) -> Theirs:
    """A tenant in its second run, a member, a service account, and texts that occur nowhere else."""
    other.create(f"ours-{new_id().hex[-12:]}", name=f"Name {new_id()}", first_admin_email=f"a@{new_id()}.example")
    other.make_moves(until="allocate_traffic")
    reason = f"Reason {new_id()}"
    other.cancel(reason=reason)
    other.make_moves()
    other.retry()
    other.make_moves(until="apply_schema")
    member, account = other.transact(_add_principals, other)
    tenant, run = other.tenant(), other.run()
    event = other.events()[3]
    ids = {
        "Tenant": tenant_gid(tenant.id),
        "ProvisioningRun": str(global_id("ProvisioningRun", run.id)),
        "ProvisioningEvent": str(global_id("ProvisioningEvent", event.id)),
        "AuditEvent": str(global_id("AuditEvent", event.id)),
        "Organization": str(global_id("Organization", other.organisation.id)),
        "Actor": str(global_id("Actor", member)),
        "Member": str(global_id("Member", member)),
        "ServiceAccount": str(global_id("ServiceAccount", account)),
    }
    texts = {reason, tenant.slug, tenant.name, run.address, other.organisation.slug, *other.ledger()}
    texts |= {ids["Tenant"], ids["ProvisioningRun"], ids["AuditEvent"], ids["Organization"]}
    keys = {str(one) for one in (tenant.id, run.id, event.id, other.organisation.id, member, account)}
    hidden = keys | {tenant.first_admin_email, ids["Actor"]}
    return Theirs(
        other,
        ids,
        _cursors(api.member(other.organisation.id), ids["Tenant"]),
        (tenant.slug, other.organisation.slug),
        frozenset(texts),
        frozenset(hidden),
    )


def _add_principals(session: Session, harness: RunHarness) -> tuple[Any, Any]:
    facts: Facts = {"organisation_id": harness.organisation.id, "created_at": clock(session)}
    member = Member(email=f"{new_id()}@shop.example", name=f"Member {new_id()}", role=Role.OWNER, **facts)
    account = ServiceAccount(name=f"Account {new_id()}", scopes=["tenants:read"], **facts)
    session.add_all([member, account])
    return member.id, account.id


def _cursors(owner: Client, tenant: str) -> dict[str, str]:
    document = """query C($id: ID!) {
      tenants(first: 1) { edges { cursor } }
      auditEvents(first: 1) { edges { cursor } }
      tenant(id: $id) { runs(first: 1) { edges { cursor node { timeline(first: 2) { edges { cursor } } } } } }
    }"""
    # The feed shows an event once no older transaction is open, also one of the server itself.
    wait_until(lambda: owner.execute("{ auditEvents(first: 1) { edges { cursor } } }")["auditEvents"]["edges"])
    found = owner.execute(document, id=tenant)
    (run,) = found["tenant"]["runs"]["edges"]
    return {
        "tenants": found["tenants"]["edges"][0]["cursor"],
        "auditEvents": found["auditEvents"]["edges"][0]["cursor"],
        "auditEventAdded": found["auditEvents"]["edges"][0]["cursor"],
        "runs": run["cursor"],
        "tenantProvisioning": run["node"]["timeline"]["edges"][0]["cursor"],
    }


ClientOf = Callable[[Api, RunHarness], Client]

CALLERS: dict[str, ClientOf] = {
    "owner": lambda api, harness: api.member(harness.organisation.id, Role.OWNER),
    "admin": lambda api, harness: api.member(harness.organisation.id, Role.ADMIN),
    "viewer": lambda api, harness: api.member(harness.organisation.id, Role.VIEWER),
    "partner": lambda api, harness: api.service_account(harness.organisation.id, *SCOPES),
    "limited": lambda api, harness: api.service_account(harness.organisation.id, *SCOPES, only={harness.tenant_id}),
    "limited to nothing": lambda api, harness: api.service_account(harness.organisation.id, *SCOPES, only=set()),
    "without scopes": lambda api, harness: api.service_account(harness.organisation.id),
}
"""Every kind of caller except support."""


@cache
def served() -> GraphQLSchema:
    return build_schema(served_schema().as_str())


@dataclass(frozen=True)
class Operation:
    """A document that selects everything below a root field, and its variables."""

    document: str
    variables: Facts

    @property
    def label(self) -> str:
        return f"{self.document[:60]}… {json.dumps(self.variables)}"


def operations(kind: str, theirs: Theirs) -> Iterator[Operation]:
    """For each root field, an operation for each set of arguments that refer to the other organisation."""
    root = served().get_root_type(OperationType(kind))
    assert isinstance(root, GraphQLObjectType)
    for name, field in root.fields.items():
        for variables in variables_for(name, field, theirs):
            yield Operation(document(kind, name, field, variables), variables)


def variables_for(name: str, field: GraphQLField, theirs: Theirs) -> list[Facts]:
    """Arguments for a field: the required ones alone, then with each optional one in turn; pages are short."""
    values = {one: candidates(name, one, arg.type, theirs) for one, arg in field.args.items()}
    required = {one: values[one][0] for one, arg in field.args.items() if one == "first" or is_required_argument(arg)}
    return _each_once(required, values)


def candidates(field: str, name: str, kind: GraphQLInputType, theirs: Theirs) -> list[Any]:
    """Values for an argument or input field: references to the other organisation, otherwise a neutral value."""
    if isinstance(kind, GraphQLNonNull):
        return candidates(field, name, kind.of_type, theirs)
    if isinstance(kind, GraphQLList):
        return [[one for one in candidates(field, name, kind.of_type, theirs) if one]]
    if isinstance(kind, GraphQLInputObjectType):
        values = {one: candidates(field, one, part.type, theirs) for one, part in kind.fields.items()}
        required = {one: values[one][0] for one, part in kind.fields.items() if is_required_input_field(part)}
        return _each_once(required, values)
    if isinstance(kind, GraphQLEnumType):
        return [next(iter(kind.values))]
    return _scalar_candidates(field, name, kind.name, theirs)


def _scalar_candidates(field: str, name: str, kind: str, theirs: Theirs) -> list[Any]:
    """For an id, the ids of the type in the argument's name; for other scalars, values by name or type."""
    if kind == "ID":
        fitting = [
            key for noun, key in theirs.ids.items() if name.removesuffix("Id").removesuffix("Ids") in noun.lower()
        ]
        return fitting or list(theirs.ids.values())
    if name in {"after", "before"}:
        return [theirs.cursors.get(field)]
    if "slug" in name.lower():
        return list(theirs.slugs)
    plain: dict[str, Any] = {"Int": 5, "Boolean": False, "DateTime": "2026-01-01T00:00:00Z", "Duration": "PT1H"}
    return [plain.get(kind, {"plan": "free", "email": "x@y.example", "typeIn": "tenant.*"}.get(name, "x"))]


def _each_once(required: Facts, values: dict[str, list[Any]]) -> list[Facts]:
    found = [required]
    for name, several in values.items():
        # Pages go forward only, and mutations are sent without a key and without an expected version.
        if name in {"last", "before", "idempotencyKey", "expectedVersion"}:
            continue
        found += [required | {name: one} for one in several if required.get(name) != one]
    return found


def document(kind: str, name: str, field: GraphQLField, variables: Facts) -> str:
    declared = ", ".join(f"${one}: {field.args[one].type}" for one in variables)
    given = ", ".join(f"{one}: ${one}" for one in variables)
    head = f"{kind} Walk({declared})" if variables else kind
    # A payload has the tenant and the run, each with the other: one level more exceeds the limit of a document.
    depth = DEPTH - 1 if kind == "mutation" else DEPTH
    return f"{head} {{ {name}{f'({given})' if given else ''} {selection(get_named_type(field.type), depth)} }}"


def selection(kind: Any, depth: int, above: tuple[str, ...] = ()) -> str:
    """Every field without required arguments, ``depth`` levels deep, never a type twice on a path; pages are short."""
    fields = getattr(kind, "fields", {})
    wrapper = kind.name.endswith(("Connection", "Edge", "Payload"))
    path = above if wrapper else (*above, kind.name)
    chosen = [_selected(name, field, depth - (not wrapper), path) for name, field in fields.items()]
    return f"{{ {' '.join(['__typename', *filter(None, chosen)])} }}"


def _selected(name: str, field: GraphQLField, depth: int, path: tuple[str, ...]) -> str | None:
    inner = get_named_type(field.type)
    if any(map(is_required_argument, field.args.values())):
        return None
    if isinstance(inner, GraphQLScalarType | GraphQLEnumType):
        return name
    if depth < 0 or inner.name in path or name == "nodes":  # the same objects as edges
        return None
    below = selection(inner, depth, path)
    return f"{name}{'(first: 3)' if 'first' in field.args else ''} {below}" if below != "{ __typename }" else None


def nodes_of(theirs: Theirs) -> Iterator[Operation]:
    """For each object id, an operation that selects every field of its type."""
    for noun, key in theirs.ids.items():
        if noun in served().type_map:
            below = selection(served().type_map[noun], DEPTH)
            yield Operation(f"query Walk($id: ID!) {{ node(id: $id) {{ ... on {noun} {below} }} }}", {"id": key})


def reads(theirs: Theirs) -> list[Operation]:
    return [*operations("query", theirs), *nodes_of(theirs)]


def result_of(client: Client, operation: Operation) -> Facts:
    """The operation's result. Its errors must be refusals of access and not of the document."""
    result = client.result(operation.document, **operation.variables)
    codes = {error["extensions"]["code"] for error in result.get("errors", ())}
    assert codes <= REFUSALS, (operation.label, result["errors"])
    return result


@pytest.mark.parametrize("caller", CALLERS)
def test_no_caller_reads_anything_of_another_organisation(
    api: Api, harness: RunHarness, theirs: Theirs, caller: str
) -> None:
    harness.create()
    client, cases = CALLERS[caller](api, harness), reads(theirs)

    for operation in cases:
        result = result_of(client, operation)

        assert theirs.leaks_in(result, operation.variables) == [], operation.label
    assert len(cases) > 30


def test_the_same_operations_return_everything_to_the_organisations_owner(
    api: Api, harness: RunHarness, theirs: Theirs
) -> None:
    """Otherwise the test above would prove nothing."""
    owner = api.member(theirs.harness.organisation.id)

    results = [result_of(owner, operation) for operation in reads(theirs)]

    assert set(theirs.leaks_in(results)) >= theirs.secrets | {theirs.harness.tenant().first_admin_email}


def test_support_reads_everything_except_the_first_admins_address(
    api: Api, harness: RunHarness, theirs: Theirs
) -> None:
    support = api.support()

    results = [result_of(support, operation) for operation in reads(theirs)]

    assert set(theirs.leaks_in(results)) >= theirs.secrets
    assert theirs.harness.tenant().first_admin_email not in json.dumps(results)


@pytest.mark.parametrize("caller", [*CALLERS, "support"])
def test_no_caller_changes_anything_of_another_organisation(
    api: Api, harness: RunHarness, theirs: Theirs, caller: str
) -> None:
    harness.create()
    before = all_rows(theirs.harness)
    client = api.support() if caller == "support" else CALLERS[caller](api, harness)
    cases = [
        one for one in operations("mutation", theirs) if not one.document.startswith("mutation Walk($input: CreateT")
    ]

    for operation in cases:
        result = result_of(client, operation)

        leaks = theirs.leaks_in(result, operation.variables)
        assert leaks == [] or caller == "support", operation.label
        (payload,) = result["data"].values()
        assert payload["userErrors"] or "tenantId" not in operation.variables["input"], operation.label
    assert all_rows(theirs.harness) == before
    assert len(cases) > 15


def test_no_caller_subscribes_to_a_tenant_of_another_organisation(
    api: Api, harness: RunHarness, theirs: Theirs
) -> None:
    cases = [one for one in operations("subscription", theirs) if "tenantId" in one.variables]

    for operation in cases:
        with api.member(harness.organisation.id).subscribed(operation.document, **operation.variables) as subscription:
            message = subscription.message()
        assert "NOT_FOUND" in json.dumps(message), operation.label
        assert theirs.leaks_in(message, operation.variables) == [], operation.label
    assert len(cases) > 1


SILENT = {"tenantId", "runId", "actorId", "occurredUntil"}
"""Filter fields that refer to the other organisation's objects, or to the past: nothing is delivered."""


def test_no_caller_subscribes_to_the_feed_of_another_organisation(
    api: Api, harness: RunHarness, theirs: Theirs
) -> None:
    mine = harness.create()
    cases = [one for one in operations("subscription", theirs) if "tenantId" not in one.variables]

    for operation in cases:
        silent = SILENT & operation.variables.get("filter", {}).keys()
        wait_until(lambda: api.services.feed.watchers == 0)
        with api.member(harness.organisation.id).subscribed(operation.document, **operation.variables) as subscription:
            wait_until(lambda: api.services.feed.watchers == 1)
            theirs.harness.transact(_rename_tenant, theirs.harness)
            harness.transact(_rename_tenant, harness)
            if silent:
                with pytest.raises(TimeoutError):
                    subscription.message(within=0.3)
                continue
            entry = subscription.next()
        assert entry["tenant"]["id"] == tenant_gid(mine.tenant.id), operation.label
        assert theirs.leaks_in(entry, operation.variables) == [], operation.label
    assert len(cases) > 3


def _rename_tenant(session: Session, harness: RunHarness) -> None:
    wanted = Corrections(name=f"Name {new_id()}")
    update_tenant(session, harness.tenant_id, wanted, by=harness.operator, regions=harness.settings.regions)


@pytest.fixture
def unfiltered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every condition by which the code limits queries to an organisation."""

    def everywhere(*_: object) -> Any:
        return true()

    for module in (queries, audit_feed):
        monkeypatch.setattr(module, "accessible_to", everywhere)
    for module in (queries, cancellation):
        monkeypatch.setattr(module, "visible_tenants", everywhere)
    monkeypatch.setattr(Actor, "can_access", lambda *_: True)


READ_ALL = """query All($id: ID!, $slug: String!) {
  tenant(id: $id) { slug } tenantBySlug(slug: $slug) { name }
  tenants(first: 100) { nodes { slug } totalCount }
  auditEvents(first: 100) { edges { node { tenant { slug } } } }
}"""


@pytest.mark.usefixtures("unfiltered")
def test_row_level_security_isolates_organisations_without_the_codes_conditions(
    api: Api, harness: RunHarness, theirs: Theirs
) -> None:
    harness.create("mine")
    before = all_rows(theirs.harness)
    owner = api.member(harness.organisation.id)

    found = owner.execute(READ_ALL, id=theirs.ids["Tenant"], slug=theirs.slugs[0])
    renamed = owner.mutate("updateTenant", "tenant { name }", tenantId=theirs.ids["Tenant"], name="Mine")
    stopped = owner.mutate("cancelProvisioning", "tenant { name }", tenantId=theirs.ids["Tenant"])

    assert (found["tenant"], found["tenantBySlug"]) == (None, None)
    assert found["tenants"] == {"nodes": [{"slug": "mine"}], "totalCount": 1}
    assert {edge["node"]["tenant"]["slug"] for edge in found["auditEvents"]["edges"]} == {"mine"}
    assert [one["userErrors"][0]["code"] for one in (renamed, stopped)] == ["NOT_FOUND"] * 2
    assert all_rows(theirs.harness) == before


@pytest.mark.usefixtures("unfiltered")
def test_without_conditions_and_row_level_security_another_organisation_is_accessible(
    api: Api, harness: RunHarness, theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the test above would not prove that row-level security refuses."""
    monkeypatch.setattr(runtime.database, "set_role", lambda *_: None)
    owner = api.member(harness.organisation.id)

    found = owner.execute(READ_ALL, id=theirs.ids["Tenant"], slug=theirs.slugs[0])
    renamed = owner.mutate("updateTenant", "tenant { name }", tenantId=theirs.ids["Tenant"], name="Mine")

    assert found["tenant"] == {"slug": theirs.slugs[0]}
    assert found["tenants"]["totalCount"] > 0
    assert renamed == {"tenant": {"name": "Mine"}, "userErrors": []}
