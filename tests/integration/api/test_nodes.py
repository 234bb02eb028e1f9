"""Objects found by id, and the number of statements that reading many objects takes."""

from datetime import datetime
from uuid import UUID, uuid4

import pytest

from models import TenantState
from schema.node import global_id
from tests.api import Api, Client, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import STEPS, bring_tenant_to

NODE = "query Node($id: ID!) { node(id: $id) { __typename id } }"


def test_every_object_with_an_id_is_found_by_it(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    document = """
    query Ids($id: ID!) {
      tenant(id: $id) { id organization { id } runs(first: 1) { edges { node {
        id startedBy { id } timeline(first: 1) { edges { node { id } } } } } } }
      auditEvents(first: 1) { edges { node { id actor { id } } } }
      viewer { actor { id } }
    }
    """
    found = owner.execute(document, id=tenant_gid(harness.tenant_id))
    run = found["tenant"]["runs"]["edges"][0]["node"]
    entry = found["auditEvents"]["edges"][0]["node"]
    ids = [
        found["tenant"]["id"],
        found["tenant"]["organization"]["id"],
        run["id"],
        run["timeline"]["edges"][0]["node"]["id"],
        entry["id"],
        entry["actor"]["id"],
        found["viewer"]["actor"]["id"],
    ]

    nodes = owner.execute("query Nodes($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids)["nodes"]

    assert [node["id"] for node in nodes] == ids
    assert [node["__typename"] for node in nodes] == [
        "Tenant",
        "Organization",
        "ProvisioningRun",
        "ProvisioningEvent",
        "AuditEvent",
        "Actor",
        "Actor",
    ]


@pytest.mark.parametrize("id", ["", "x", "VGVuYW50", "Ñ", "VGVuYW50OjE", global_id("Query", UUID(int=1)), "A" * 5000])
def test_a_malformed_id_finds_nothing(owner: Client, id: str) -> None:
    assert owner.execute(NODE, id=id) == {"node": None}
    assert owner.execute("query T($id: ID!) { tenant(id: $id) { id } }", id=id) == {"tenant": None}


def test_an_id_of_another_type_finds_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create()

    assert owner.execute(
        "query T($id: ID!) { tenant(id: $id) { id } }", id=global_id("ProvisioningRun", harness.tenant_id)
    ) == {"tenant": None}
    assert owner.execute(NODE, id=global_id("ProvisioningRun", harness.tenant_id)) == {"node": None}


def test_a_tenant_is_found_by_its_database_id_too(harness: RunHarness, other: RunHarness, owner: Client) -> None:
    harness.create()
    other.create()
    document = "query T($id: ID!) { tenant(id: $id) { id databaseId } }"
    key = str(harness.tenant_id)

    assert owner.execute(document, id=key) == {"tenant": {"id": tenant_gid(harness.tenant_id), "databaseId": key}}
    for other_form in (key.upper(), key.replace("-", ""), f"urn:uuid:{key}", str(other.tenant_id)):
        assert owner.execute(document, id=other_form) == {"tenant": None}


def test_a_compensated_run_has_the_time_of_its_next_absence_check(harness: RunHarness, owner: Client) -> None:
    document = """query N($id: ID!) { tenant(id: $id) { runs(first: 1) { edges { node { nextAbsenceCheckAt } } } } }"""

    def next_check() -> datetime | None:
        (run,) = owner.execute(document, id=tenant_gid(harness.tenant_id))["tenant"]["runs"]["edges"]
        value = run["node"]["nextAbsenceCheckAt"]
        return datetime.fromisoformat(value) if value else None

    harness.create()
    harness.make_moves(until="allocate_traffic")
    before = next_check()
    harness.cancel()
    harness.make_moves()

    assert (before, next_check()) == (None, harness.run().due_at)
    assert next_check() is not None


def test_a_query_for_more_than_a_hundred_nodes_is_refused(owner: Client) -> None:
    ids = [tenant_gid(uuid4()) for _ in range(101)]

    error = owner.error("query Nodes($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_tenant_has_its_run_steps_ledger_and_cancellation_preview(harness: RunHarness, owner: Client) -> None:
    harness.create("shop", name="The Shop", plan="pro", region="us-east")
    harness.make_moves(until="allocate_traffic")
    claim = harness.claim()
    document = """
    query Tenant($id: ID!) {
      tenant(id: $id) {
        databaseId slug name region plan state url version firstAdminEmail provisioningDeadline availableActions
        organization { slug tenantsUsed tenantsAllowed }
        heldResources { kind step status heldAt releasedAt }
        cancellationPreview { stepInFlight { name } interruptible releases { kind step } }
        currentRun {
          number kind status cancellable cancelRequest { reason } elapsed startedBy { kind displayName }
          steps { name position status attempts maxAttempts interruptible duration finishedAt }
          resources { kind }
          tenant { slug }
        }
        recreatedFrom { id }
      }
    }
    """

    tenant = owner.execute(document, id=tenant_gid(harness.tenant_id))["tenant"]

    assert claim.move.step == "allocate_traffic"
    run = tenant.pop("currentRun")
    resources = tenant.pop("heldResources")
    assert [(one["kind"], one["step"], one["status"], one["releasedAt"]) for one in resources] == [
        ("postgres_role", "allocate_storage", "HELD", None),
        ("postgres_schema", "allocate_storage", "HELD", None),
        ("signing_key", "allocate_identity", "HELD", None),
        ("admin_account", "allocate_identity", "HELD", None),
        ("host_name", "allocate_traffic", "INTENDED", None),
    ]
    assert [one["heldAt"] is not None for one in resources] == [True, True, True, True, False]
    assert tenant.pop("cancellationPreview") == {
        "stepInFlight": {"name": "allocate_traffic"},
        "interruptible": True,
        "releases": [
            {"kind": "host_name", "step": "allocate_traffic"},
            {"kind": "admin_account", "step": "allocate_identity"},
            {"kind": "signing_key", "step": "allocate_identity"},
            {"kind": "postgres_schema", "step": "allocate_storage"},
            {"kind": "postgres_role", "step": "allocate_storage"},
        ],
    }
    assert tenant == {
        "databaseId": str(harness.tenant_id),
        "slug": "shop",
        "name": "The Shop",
        "region": "us-east",
        "plan": "pro",
        "state": "PROVISIONING",
        "url": f"http://shop-{harness.organisation.slug}.localhost",
        "version": 2,
        "firstAdminEmail": "first@shop.example",
        "provisioningDeadline": None,
        "availableActions": ["CANCEL_PROVISIONING"],
        "organization": {"slug": harness.organisation.slug, "tenantsUsed": 1, "tenantsAllowed": None},
        "recreatedFrom": None,
    }
    steps = run.pop("steps")
    assert [step["name"] for step in steps][: len(STEPS)] == STEPS
    assert [step["status"] for step in steps] == ["DONE"] * 3 + ["RUNNING"] + ["WAITING"] * (len(steps) - 4)
    assert steps[0]["duration"].startswith("PT")
    assert run.pop("elapsed").startswith("PT")
    assert run == {
        "number": 1,
        "kind": "PROVISION",
        "status": "RUNNING",
        "cancellable": True,
        "cancelRequest": None,
        "startedBy": {"kind": "USER", "displayName": harness.operator.email},
        "resources": [{"kind": resource["kind"]} for resource in resources],
        "tenant": {"slug": "shop"},
    }


ALL_FIELDS = """
query AllFields($first: Int!) {
  tenants(first: $first) {
    totalCount
    nodes {
      slug availableActions organization { slug tenantsUsed tenantsAllowed }
      heldResources { kind } cancellationPreview { releases { kind } }
      currentRun {
        steps { name } resources { kind } tenant { slug } timeline(first: 5) { edges { node { run { number } } } } }
      runs(first: 2) { edges { node { number steps { name } } } }
    }
  }
}
"""


def test_reading_twenty_tenants_takes_as_many_statements_as_reading_one(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for number in range(20):
        harness.create(f"shop-{number}")
    harness.make_moves(until="allocate_traffic")

    with api.statements() as for_one:
        owner.execute(ALL_FIELDS, first=1)
    with api.statements() as for_twenty:
        answer = owner.execute(ALL_FIELDS, first=20)

    assert len(answer["tenants"]["nodes"]) == 20
    assert all(len(node["currentRun"]["steps"]) > 8 for node in answer["tenants"]["nodes"])
    assert len(for_twenty) == len(for_one) <= 12


def test_reading_a_hundred_events_takes_as_many_statements_as_reading_one(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for number in range(3):
        harness.create(f"shop-{number}")
        harness.make_moves(until="apply_schema")
    document = """
    query Feed($first: Int!) { auditEvents(first: $first) { edges { node {
      type data actor { displayName } tenant { slug organization { slug } } run { number steps { name } } } } } }
    """

    with api.statements() as for_one:
        owner.execute(document, first=1)
    with api.statements() as for_all:
        answer = owner.execute(document, first=100)

    assert len(answer["auditEvents"]["edges"]) > 20
    assert len(for_all) == len(for_one) == 5


def test_no_statement_paginates_with_offset(api: Api, harness: RunHarness, owner: Client) -> None:
    with api.statements() as sent:
        owner.execute(ALL_FIELDS, first=5)

    assert [statement for statement in sent if "OFFSET" in statement.upper()] == []
