"""The whole schema, asked by everybody for what is another organisation's: nobody finds anything of it."""

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
from tests.scenarios import all_rows
from tests.waiting import wait_until

# Where a field is refused that cannot be null, graphql-core forgets the fields beside it, and Python notices. When the
# collector finds them in a frame without builtins, as a namedtuple's constructor has, Python cannot even warn: it says
# that this failed, in the second sentence. A dot for its colon, which would separate.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    "ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning",
)

DEPTH = 2
"""Levels of objects below what a root field gives: a tenant's run, and that one's steps."""

REFUSALS = {"FORBIDDEN", "NOT_FOUND", "BAD_USER_INPUT"}
"""How a document of these tests may be refused. Anything else would mean that it was not understood."""


@dataclass(frozen=True)
class Theirs:
    """Another organisation: what names its objects, and what would give them away."""

    harness: RunHarness
    ids: dict[str, str]
    cursors: dict[str, str]
    slugs: tuple[str, ...]
    secrets: frozenset[str]
    hidden: frozenset[str]

    def found_in(self, answer: object, asked: object = None) -> list[str]:
        """What an answer gives away, besides what was in the question."""
        said, known = json.dumps(answer), json.dumps(asked)
        return sorted(secret for secret in self.secrets | self.hidden if secret in said and secret not in known)


@pytest.fixture(autouse=True)
def _forgotten_here() -> Iterator[None]:
    """What was forgotten is noticed at the test's end, and not in a later module that knows nothing of it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def api(database_url: str, redis_url: str) -> Iterator[Api]:
    """One whose callers may ask for as much as they like."""
    with running_api(settings().model_copy(update={"budget": 10**9})) as running:
        yield running


@pytest.fixture
def theirs(api: Api, other: RunHarness) -> Theirs:
    """A tenant in the middle of its second run, the people, and names that nobody would guess."""
    other.create(f"ours-{new_id().hex[-12:]}", name=f"Name {new_id()}", first_admin_email=f"a@{new_id()}.example")
    other.make_moves(until="allocate_traffic")
    reason = f"Reason {new_id()}"
    other.cancel(reason=reason)
    other.make_moves()
    other.retry()
    other.make_moves(until="apply_schema")
    member, account = other.transact(_people, other)
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


def _people(session: Session, harness: RunHarness) -> tuple[Any, Any]:
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
    found = owner.execute(document, id=tenant)
    (run,) = found["tenant"]["runs"]["edges"]
    return {
        "tenants": found["tenants"]["edges"][0]["cursor"],
        "auditEvents": found["auditEvents"]["edges"][0]["cursor"],
        "auditEventAdded": found["auditEvents"]["edges"][0]["cursor"],
        "runs": run["cursor"],
        "tenantProvisioning": run["node"]["timeline"]["edges"][0]["cursor"],
    }


Call = Callable[[Api, RunHarness], Client]

EVERYBODY: dict[str, Call] = {
    "owner": lambda api, harness: api.member(harness.organisation.id, Role.OWNER),
    "admin": lambda api, harness: api.member(harness.organisation.id, Role.ADMIN),
    "viewer": lambda api, harness: api.member(harness.organisation.id, Role.VIEWER),
    "partner": lambda api, harness: api.service_account(harness.organisation.id, *SCOPES),
    "limited": lambda api, harness: api.service_account(harness.organisation.id, *SCOPES, only={harness.tenant_id}),
    "limited to nothing": lambda api, harness: api.service_account(harness.organisation.id, *SCOPES, only=set()),
    "without scopes": lambda api, harness: api.service_account(harness.organisation.id),
}
"""Everybody but support. A new person each time: a budget is a person's."""


@cache
def served() -> GraphQLSchema:
    return build_schema(served_schema().as_str())


@dataclass(frozen=True)
class Question:
    """A root field, asked with certain arguments for everything below it."""

    document: str
    variables: Facts

    @property
    def label(self) -> str:
        return f"{self.document[:60]}… {json.dumps(self.variables)}"


def questions(kind: str, theirs: Theirs) -> Iterator[Question]:
    """Each root field with each way to fill in something of theirs."""
    root = served().get_root_type(OperationType(kind))
    assert isinstance(root, GraphQLObjectType)
    for name, field in root.fields.items():
        for variables in fillings(name, field, theirs):
            yield Question(document(kind, name, field, variables), variables)


def fillings(name: str, field: GraphQLField, theirs: Theirs) -> list[Facts]:
    """Arguments for a field: what is required, and each of the rest once with each of its values; short pages."""
    values = {one: candidates(name, one, arg.type, theirs) for one, arg in field.args.items()}
    required = {one: values[one][0] for one, arg in field.args.items() if one == "first" or is_required_argument(arg)}
    return _each_once(required, values)


def candidates(field: str, name: str, kind: GraphQLInputType, theirs: Theirs) -> list[Any]:
    """Values for an argument or an input's field that name something of theirs, or mean nothing in particular."""
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
    return _named(field, name, kind.name, theirs)


def _named(field: str, name: str, kind: str, theirs: Theirs) -> list[Any]:
    """For a scalar: what is called like it."""
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
        # A page is asked for from one end, and a call is made once or twice under a key only by who wants that.
        if name in {"last", "before", "idempotencyKey", "expectedVersion"}:
            continue
        found += [required | {name: one} for one in several if required.get(name) != one]
    return found


def document(kind: str, name: str, field: GraphQLField, variables: Facts) -> str:
    declared = ", ".join(f"${one}: {field.args[one].type}" for one in variables)
    given = ", ".join(f"{one}: ${one}" for one in variables)
    head = f"{kind} Walk({declared})" if variables else kind
    return f"{head} {{ {name}{f'({given})' if given else ''} {selection(get_named_type(field.type), DEPTH)} }}"


def selection(kind: Any, depth: int, above: tuple[str, ...] = ()) -> str:
    """Every field that needs no argument, so many levels deep and never back to a kind above; of each page a few."""
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
    if depth < 0 or inner.name in path or name == "nodes":  # nodes are the edges' own
        return None
    below = selection(inner, depth, path)
    return f"{name}{'(first: 3)' if 'first' in field.args else ''} {below}" if below != "{ __typename }" else None


def nodes_of(theirs: Theirs) -> Iterator[Question]:
    """Each object by its id, with everything that its own type has."""
    for noun, key in theirs.ids.items():
        if noun in served().type_map:
            below = selection(served().type_map[noun], DEPTH)
            yield Question(f"query Walk($id: ID!) {{ node(id: $id) {{ ... on {noun} {below} }} }}", {"id": key})


def reads(theirs: Theirs) -> list[Question]:
    return [*questions("query", theirs), *nodes_of(theirs)]


def answered(client: Client, question: Question) -> Facts:
    """An answer to what was asked, and not to how."""
    answer = client.result(question.document, **question.variables)
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    assert codes <= REFUSALS, (question.label, answer["errors"])
    return answer


@pytest.mark.parametrize("who", EVERYBODY)
def test_nobody_reads_anything_of_another_organisation(api: Api, harness: RunHarness, theirs: Theirs, who: str) -> None:
    harness.create()
    asked = reads(theirs)

    for question in asked:
        answer = answered(EVERYBODY[who](api, harness), question)

        assert theirs.found_in(answer, question.variables) == [], question.label
    assert len(asked) > 30


def test_the_same_questions_tell_their_owner_everything(api: Api, harness: RunHarness, theirs: Theirs) -> None:
    """Otherwise the test above would prove nothing."""
    told = [answered(api.member(theirs.harness.organisation.id), question) for question in reads(theirs)]

    assert set(theirs.found_in(told)) >= theirs.secrets | {theirs.harness.tenant().first_admin_email}


def test_support_reads_all_of_it_but_who_administers(api: Api, harness: RunHarness, theirs: Theirs) -> None:
    told = [answered(api.support(), question) for question in reads(theirs)]

    assert set(theirs.found_in(told)) >= theirs.secrets
    assert theirs.harness.tenant().first_admin_email not in json.dumps(told)


@pytest.mark.parametrize("who", [*EVERYBODY, "support"])
def test_nobody_changes_anything_of_another_organisation(
    api: Api, harness: RunHarness, theirs: Theirs, who: str
) -> None:
    harness.create()
    before = all_rows(theirs.harness)
    asked = [
        one for one in questions("mutation", theirs) if not one.document.startswith("mutation Walk($input: CreateT")
    ]

    for question in asked:
        client = api.support() if who == "support" else EVERYBODY[who](api, harness)
        answer = answered(client, question)

        told = theirs.found_in(answer, question.variables)
        assert told == [] or who == "support", question.label
        (payload,) = answer["data"].values()
        assert payload["userErrors"] or "tenantId" not in question.variables["input"], question.label
    assert all_rows(theirs.harness) == before
    assert len(asked) > 15


def test_nobody_follows_a_tenant_of_another_organisation(api: Api, harness: RunHarness, theirs: Theirs) -> None:
    asked = [one for one in questions("subscription", theirs) if "tenantId" in one.variables]

    for question in asked:
        with api.member(harness.organisation.id).subscribed(question.document, **question.variables) as subscription:
            message = subscription.message()
        assert "NOT_FOUND" in json.dumps(message), question.label
        assert theirs.found_in(message, question.variables) == [], question.label
    assert len(asked) > 1


SILENT = {"tenantId", "runId", "actorId", "occurredUntil"}
"""Conditions that ask for them, or for the past: nothing comes."""


def test_nobody_follows_the_feed_of_another_organisation(api: Api, harness: RunHarness, theirs: Theirs) -> None:
    mine = harness.create()
    asked = [one for one in questions("subscription", theirs) if "tenantId" not in one.variables]

    for question in asked:
        silent = SILENT & question.variables.get("filter", {}).keys()
        wait_until(lambda: api.services.feed.watchers == 0)
        with api.member(harness.organisation.id).subscribed(question.document, **question.variables) as subscription:
            wait_until(lambda: api.services.feed.watchers == 1)
            theirs.harness.transact(_touch, theirs.harness)
            harness.transact(_touch, harness)
            if silent:
                with pytest.raises(TimeoutError):
                    subscription.message(within=0.3)
                continue
            entry = subscription.next()
        assert entry["tenant"]["id"] == tenant_gid(mine.tenant.id), question.label
        assert theirs.found_in(entry, question.variables) == [], question.label
    assert len(asked) > 3


def _touch(session: Session, harness: RunHarness) -> None:
    """Something happens to the tenant."""
    wanted = Corrections(name=f"Name {new_id()}")
    update_tenant(session, harness.tenant_id, wanted, by=harness.operator, regions=harness.settings.regions)


@pytest.fixture
def unfiltered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code as it would be if somebody had forgotten every condition by which it keeps to an organisation."""

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
def test_a_filter_that_the_code_forgets_is_kept_by_postgres(api: Api, harness: RunHarness, theirs: Theirs) -> None:
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
def test_without_both_another_organisation_lies_open(
    api: Api, harness: RunHarness, theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is Postgres that refuses in the test above, and nothing else."""
    monkeypatch.setattr(runtime.database, "set_role", lambda *_: None)
    owner = api.member(harness.organisation.id)

    found = owner.execute(READ_ALL, id=theirs.ids["Tenant"], slug=theirs.slugs[0])
    renamed = owner.mutate("updateTenant", "tenant { name }", tenantId=theirs.ids["Tenant"], name="Mine")

    assert found["tenant"] == {"slug": theirs.slugs[0]}
    assert found["tenants"]["totalCount"] > 0
    assert renamed == {"tenant": {"name": "Mine"}, "userErrors": []}
