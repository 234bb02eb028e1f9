"""Descriptions of the GraphQL schema that were once wrong say what the product does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from graphql import build_schema
from sqlalchemy import update
from sqlmodel import Session, col

import schema
from access.sign_in import VerifiedIdentity, sign_in
from models import Plan, Role, TenantState
from provisioning.ports import Refused
from tests.api import Api, Client, Facts, tenant_gid
from tests.code_metrics.schema_text import descriptions
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to

PLAN = "starter"
GOOD = {"slug": "shop", "plan": PLAN, "firstAdminEmail": "ada@shop.example"}
DESCRIPTIONS = dict(descriptions(build_schema((Path(schema.__file__).parent / "schema.graphql").read_text())))


def newest_run(client: Client, harness: RunHarness, fields: str) -> Facts:
    document = f"query R($id: ID!) {{ tenant(id: $id) {{ runs(first: 1) {{ edges {{ node {{ {fields} }} }} }} }} }}"
    (edge,) = client.execute(document, id=tenant_gid(harness.tenant_id))["tenant"]["runs"]["edges"]
    run: Facts = edge["node"]
    return run


def tenant_of(client: Client, harness: RunHarness, fields: str) -> Facts:
    tenant: Facts = client.execute(
        f"query T($id: ID!) {{ tenant(id: $id) {{ {fields} }} }}", id=tenant_gid(harness.tenant_id)
    )["tenant"]
    return tenant


@pytest.fixture
def plan_with_deadline(harness: RunHarness) -> Iterator[str]:
    """A plan that sets a deadline of ten minutes for the length of the test."""
    harness.transact(set_deadline, timedelta(minutes=10))
    yield PLAN
    harness.transact(set_deadline, None)


def set_deadline(session: Session, deadline: timedelta | None) -> None:
    session.execute(update(Plan).where(col(Plan.code) == PLAN).values(provisioning_deadline=deadline))


def test_cancellable_is_false_once_a_cancel_is_recorded_and_a_second_cancel_is_accepted(
    harness: RunHarness, owner: Client
) -> None:
    assert DESCRIPTIONS["ProvisioningRun.cancellable"] == (
        "Whether cancelProvisioning would record a cancel: true for a PROVISION run that has not ended and has no "
        "cancel yet. A second cancel is accepted too, with alreadyRequested, and changes nothing."
    )
    harness.create()
    harness.make_moves(until="allocate_traffic")
    tenant = tenant_gid(harness.tenant_id)

    def cancel() -> Facts:
        return owner.mutate("cancelProvisioning", "alreadyRequested run { cancellable }", tenantId=tenant)

    before, first, second = newest_run(owner, harness, "cancellable"), cancel(), cancel()
    harness.make_moves()

    assert before == {"cancellable": True}
    assert first == {"alreadyRequested": False, "run": {"cancellable": False}, "userErrors": []}
    assert second == {"alreadyRequested": True, "run": {"cancellable": False}, "userErrors": []}
    assert newest_run(owner, harness, "cancellable") == {"cancellable": False}


def test_a_decommissioning_run_is_not_cancellable(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.DECOMMISSIONING)

    payload = owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id))

    assert newest_run(owner, harness, "cancellable") == {"cancellable": False}
    assert [error["code"] for error in payload["userErrors"]] == ["INVALID_STATE"]


@pytest.mark.parametrize(
    ("role", "wrong", "code"),
    [
        (Role.OWNER, {"slug": "Shop"}, "INVALID"),
        (Role.OWNER, {"slug": "taken"}, "TAKEN"),
        (Role.VIEWER, {}, "FORBIDDEN"),
    ],
)
def test_create_tenant_returns_no_tenant_when_it_is_refused(
    api: Api, harness: RunHarness, role: Role, wrong: dict[str, str], code: str
) -> None:
    assert DESCRIPTIONS["CreateTenantPayload.tenant"] == (
        "The new tenant; null when the call was refused, because then no tenant was created."
    )
    harness.create("taken", start=False)
    client = api.member(harness.organisation.id, role)

    payload = client.mutate("createTenant", "tenant { slug } tenantEdge { cursor } run { id }", **(GOOD | wrong))

    errors = payload.pop("userErrors")
    assert payload == {"tenant": None, "tenantEdge": None, "run": None}
    assert [error["code"] for error in errors] == [code]
    assert client.execute("{ tenants { nodes { slug } } }")["tenants"]["nodes"] == [{"slug": "taken"}]


def test_create_tenant_returns_the_new_tenant_when_it_is_accepted(harness: RunHarness, owner: Client) -> None:
    payload = owner.mutate("createTenant", "tenant { slug }", **GOOD)

    assert payload == {"tenant": {"slug": "shop"}, "userErrors": []}


def test_recreate_tenant_returns_the_new_tenant_or_the_refused_one(harness: RunHarness, owner: Client) -> None:
    assert DESCRIPTIONS["RecreateTenantPayload.tenant"].startswith(
        "The new tenant. When the call was refused, the tenant in the input"
    )
    bring_tenant_to(harness, TenantState.DECOMMISSIONED)
    old = tenant_gid(harness.tenant_id)

    accepted = owner.mutate("recreateTenant", "tenant { id recreatedFrom { id } }", tenantId=old)
    refused = owner.mutate("recreateTenant", "tenant { id }", tenantId=old)

    assert accepted["tenant"]["id"] != old
    assert accepted["tenant"]["recreatedFrom"] == {"id": old}
    assert refused["tenant"] == {"id": old}
    assert [error["code"] for error in refused["userErrors"]] == ["TAKEN"]


def test_a_run_has_no_start_before_a_worker_claims_its_first_step(harness: RunHarness, owner: Client) -> None:
    times = "status startedAt elapsed"
    harness.create()
    queued = tenant_of(owner, harness, f"currentRun {{ {times} }}")["currentRun"]

    harness.cancel()

    assert queued == {"status": "QUEUED", "startedAt": None, "elapsed": None}
    assert newest_run(owner, harness, times) == {"status": "CANCELLED", "startedAt": None, "elapsed": None}
    assert newest_run(owner, harness, "finishedAt")["finishedAt"] is not None


def test_the_deadline_of_the_plan_applies_to_a_tenant_without_one(
    harness: RunHarness, owner: Client, plan_with_deadline: str
) -> None:
    assert DESCRIPTIONS["Tenant.provisioningDeadline"].endswith(
        "Null: the deadline of the plan applies, if the plan has one."
    )
    harness.create(plan=plan_with_deadline)

    run = harness.run()
    assert tenant_of(owner, harness, "provisioningDeadline") == {"provisioningDeadline": None}
    assert run.deadline_at == run.created_at + timedelta(minutes=10)


def test_a_recorded_cancel_changes_updated_at_but_not_the_version(harness: RunHarness, owner: Client) -> None:
    fields = "state version updatedAt"
    harness.create()
    harness.make_moves(until="allocate_traffic")
    tenant = tenant_gid(harness.tenant_id)
    before = tenant_of(owner, harness, fields)

    asked = f"tenant {{ {fields} }} run {{ cancelRequest {{ requestedAt }} }}"
    first = owner.mutate("cancelProvisioning", asked, tenantId=tenant)
    cancelled = tenant_of(owner, harness, fields)
    owner.mutate("cancelProvisioning", tenantId=tenant)
    again = tenant_of(owner, harness, fields)
    harness.make_moves()

    assert (cancelled["state"], cancelled["version"]) == (before["state"], before["version"])
    assert cancelled["updatedAt"] == first["run"]["cancelRequest"]["requestedAt"] > before["updatedAt"]
    assert first["tenant"] == again == cancelled
    after = tenant_of(owner, harness, fields)
    assert (after["state"], after["version"]) == ("PENDING", before["version"] + 1)
    assert after["updatedAt"] > cancelled["updatedAt"]


def test_a_bulk_cancel_a_stuck_undo_and_its_resumption_change_updated_at(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    tenant = tenant_gid(harness.tenant_id)
    harness.faults.fail("identity.destroy", error=Refused("The vault is sealed."))

    def updated_at() -> str:
        return str(tenant_of(owner, harness, "updatedAt")["updatedAt"])

    running = updated_at()
    owner.mutate("cancelProvisionings", tenantIds=[tenant])
    cancelled = updated_at()
    harness.make_moves()
    stuck = updated_at()
    resumed = owner.mutate("resumeCompensation", "tenant { updatedAt }", tenantId=tenant)["tenant"]["updatedAt"]

    assert running < cancelled < stuck < resumed == updated_at()


def test_progress_of_a_run_does_not_change_updated_at(harness: RunHarness, owner: Client) -> None:
    harness.create()
    created = tenant_of(owner, harness, "updatedAt")

    harness.make_moves(until="await_readiness")

    assert tenant_of(owner, harness, "updatedAt") == created


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING", "CANCELLING", "COMPENSATING", "STUCK", "SUCCEEDED", "FAILED"])
def test_a_cancel_records_something_exactly_when_the_run_is_cancellable(
    harness: RunHarness, owner: Client, status: str
) -> None:
    harness.create()
    bring_run_to(harness, status)
    run = newest_run(owner, harness, "status cancellable")

    payload = owner.mutate(
        "cancelProvisioning", "alreadyRequested run { cancellable }", tenantId=tenant_gid(harness.tenant_id)
    )

    recorded = payload["userErrors"] == [] and not payload["alreadyRequested"]
    assert run == {"status": status, "cancellable": recorded}
    assert payload["run"] is None or payload["run"]["cancellable"] is False


def bring_run_to(harness: RunHarness, status: str) -> None:
    """Bring the harness's run to this status by moves and commands."""
    match status:
        case "RUNNING":
            harness.make_moves(until="allocate_traffic")
        case "CANCELLING":
            harness.make_moves(until="allocate_traffic")
            harness.cancel()
        case "COMPENSATING" | "STUCK" | "FAILED":
            harness.make_moves(until="allocate_traffic")
            harness.record_failure(harness.claim(), Refused("No."))
            if status == "STUCK":
                harness.faults.fail("identity.destroy", error=Refused("The vault is sealed."))
            if status != "COMPENSATING":
                harness.make_moves()
        case "SUCCEEDED":
            harness.make_moves()
        case _:
            assert status == "QUEUED"


def test_signing_in_does_not_change_a_members_version(harness: RunHarness, owner: Client) -> None:
    invited = owner.mutate("inviteMember", "member { id pending version }", email="new@shop.example", role="VIEWER")
    member = invited["member"]
    harness.transact(
        sign_in, VerifiedIdentity("https://idp.example new", "new@shop.example", harness.organisation.slug)
    )

    joined = owner.execute(
        "query N($id: ID!) { node(id: $id) { ... on Member { id pending version } } }", id=member["id"]
    )

    assert member | {"pending": True, "version": 1} == member
    assert joined["node"] == member | {"pending": False}


def test_the_end_of_a_previous_token_stays_readable_when_it_has_passed(harness: RunHarness, owner: Client) -> None:
    made = owner.mutate("createServiceAccount", "serviceAccount { id }", name="Partner", scopes=["tenants:read"])
    account = made["serviceAccount"]["id"]
    field = "serviceAccount { previousTokenUntil }"

    owner.mutate("rotateServiceAccountToken", field, serviceAccountId=account, overlap="PT0.001S")
    read = owner.execute(
        "query N($id: ID!) { node(id: $id) { ... on ServiceAccount { previousTokenUntil } } }", id=account
    )["node"]
    at_once = owner.mutate("rotateServiceAccountToken", field, serviceAccountId=account)

    assert datetime.fromisoformat(read["previousTokenUntil"]) < datetime.now(UTC)
    assert at_once["serviceAccount"] == {"previousTokenUntil": None}
