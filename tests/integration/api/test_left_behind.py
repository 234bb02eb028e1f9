"""What an operator abandoned is named wherever the product says what is held, until it is confirmed absent."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from devserver.demo_scenario import what_is_left
from devserver.documents import TENANT
from models import Event, RunStatus, TenantState
from provisioning import commands
from provisioning.moves import Forward
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from runtime.migrations import ROOT
from tests.api import Api, Client, Facts, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to

UNDOS = {
    "allocate_storage": "storage.destroy",
    "allocate_identity": "identity.destroy",
    "allocate_traffic": "traffic.release",
    "deploy_workloads": "deployer.tear_down",
}
"""The steps that take resources, with the call that releases them."""

REASON = "Removed by hand later, ticket 4711."
RESOURCE = "kind name status abandonedAt abandonedBy { displayName } abandonedReason absentAt"
LEFT = f"""
    query L($id: ID!) {{ tenant(id: $id) {{ state heldResources {{ name }} abandonedResources {{ {RESOURCE} }}
      runs(first: 1) {{ edges {{ node {{ id status resources {{ {RESOURCE} }} abandonedResources {{ {RESOURCE} }}
        absenceChecks {{ found foundAbandoned }}
        timeline(last: 5) {{ edges {{ node {{ kind message }} }} }} }} }} }} }} }}
"""
LISTED = """
    query F($left: Boolean) { tenants(filter: {hasAbandonedResources: $left}) { totalCount nodes { databaseId } } }
"""


def _cancelled(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()


def _failed(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.record_failure(harness.claim(), Refused("No."))


def _decommissioned(harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")


ENDS: dict[str, Callable[[RunHarness], None]] = {
    "tenant.provisioning.cancelled": _cancelled,
    "tenant.provisioning.failed": _failed,
    "tenant.deprovisioning.completed": _decommissioned,
}
"""What brings a run to an undo, by the event of its end."""


def abandon(harness: RunHarness, owner: Client, *steps: str) -> None:
    """Let the run's undo end without these steps, although their resources exist."""
    for step in steps:
        harness.faults.fail(UNDOS[step], times=99, error=Refused("The deployer refused the request (403): not yours"))
    while True:
        harness.make_moves()
        if harness.run().status is not RunStatus.STUCK:
            return
        (stuck,) = [step.name for step in harness.steps() if step.status == "COMPENSATION_FAILED"]
        answer = owner.mutate(
            "resumeCompensation", tenantId=tenant_gid(harness.tenant_id), skipSteps=[stuck], reason=REASON
        )
        assert answer["userErrors"] == []


def tenant_of(owner: Client, harness: RunHarness) -> tuple[Facts, Facts]:
    """The tenant, and its newest run."""
    tenant = owner.execute(LEFT, id=tenant_gid(harness.tenant_id))["tenant"]
    return tenant, tenant["runs"]["edges"][0]["node"]


def end_of(harness: RunHarness, event_type: str) -> dict[str, Any]:
    events: list[Event] = [event for event in harness.events() if event.type == event_type]
    return events[-1].data


def last_message(run: Facts) -> str:
    entry = run["timeline"]["edges"][-1]["node"]
    assert entry["kind"] == "RUN_FINISHED"
    message: str = entry["message"]
    return message


def listed(owner: Client, *, left: bool) -> list[str]:
    page = owner.execute(LISTED, left=left)["tenants"]
    assert page["totalCount"] == len(page["nodes"])
    return [node["databaseId"] for node in page["nodes"]]


@pytest.mark.parametrize("steps", [[step] for step in UNDOS] + [list(UNDOS)], ids="+".join)
@pytest.mark.parametrize("end", ENDS)
def test_what_was_abandoned_is_named_wherever_it_is_said_what_is_held(
    harness: RunHarness, owner: Client, end: str, steps: list[str]
) -> None:
    ENDS[end](harness)

    abandon(harness, owner, *steps)

    existing = sorted(harness.existing_resources())
    tenant, run = tenant_of(owner, harness)
    assert existing
    assert tenant["heldResources"] == []
    assert tenant["abandonedResources"] == run["abandonedResources"]
    named = tenant["abandonedResources"]
    assert sorted(one["name"] for one in named) == existing
    caller = next(event for event in harness.events() if event.type == "tenant.provisioning.compensation_resumed")
    assert {one["abandonedReason"] for one in named} == {REASON}
    assert {one["abandonedBy"]["displayName"] for one in named} == {caller.actor_email}
    assert all(one["abandonedAt"] for one in named)
    said = end_of(harness, end)["abandoned"]
    assert sorted(one["name"] for one in said) == existing
    assert {(one["by"], one["reason"], one["run_number"]) for one in said} == {(caller.actor_email, REASON, 1)}
    assert all(one["at"] for one in said)
    message = last_message(run)
    assert "nothing is held" not in message
    assert all(f"{one['kind']} {one['name']}" in message for one in named)
    assert listed(owner, left=True) == [str(harness.tenant_id)]
    assert listed(owner, left=False) == []


def test_a_tenant_that_left_nothing_behind_says_so(harness: RunHarness, owner: Client) -> None:
    _cancelled(harness)
    harness.make_moves()

    tenant, run = tenant_of(owner, harness)

    assert tenant["abandonedResources"] == run["abandonedResources"] == []
    assert end_of(harness, "tenant.provisioning.cancelled")["abandoned"] == []
    assert last_message(run).endswith("6 resources were released and nothing is held.")
    assert listed(owner, left=True) == []
    assert listed(owner, left=False) == [str(harness.tenant_id)]


def test_the_dashboards_list_shows_what_each_tenant_left_behind_with_as_many_statements_for_all_as_for_one(
    harness: RunHarness, api: Api, owner: Client
) -> None:
    documents = (ROOT / "dashboard" / "app" / "tenants" / "tenants.graphql").read_text()
    query = re.sub(r"\n(mutation|subscription|query SlugCheck).*?\n}", "", documents, flags=re.DOTALL)
    harness.create("clean", start=False)
    left = {"clean": 0}
    for number in range(3):
        harness.create(f"shop-{number}")
        harness.make_moves(until="await_readiness")
        harness.cancel()
        abandon(harness, owner, *list(UNDOS)[: number + 1])
        harness.faults.clear()
        left[f"shop-{number}"] = len(harness.existing_resources())

    with api.statements() as for_one:
        owner.execute(query, first=1, follow=False)
    with api.statements() as for_all:
        page = owner.execute(query, first=25, follow=False)["tenants"]

    listed = {edge["node"]["slug"]: len(edge["node"]["abandonedResources"]) for edge in page["edges"]}
    assert listed == left
    assert len(set(left.values())) == 4
    assert len(for_all) == len(for_one)


def test_a_later_end_of_the_tenant_still_names_what_an_earlier_run_left_behind(
    harness: RunHarness, owner: Client
) -> None:
    _cancelled(harness)
    abandon(harness, owner, "deploy_workloads")
    harness.faults.clear()
    (left,) = harness.existing_resources()
    harness.retry()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    harness.make_moves()

    tenant, run = tenant_of(owner, harness)

    assert [one["name"] for one in tenant["abandonedResources"]] == [left]
    assert run["abandonedResources"] == []
    (said,) = end_of(harness, "tenant.provisioning.cancelled")["abandoned"]
    assert (said["name"], said["run_number"]) == (left, 1)
    assert "nothing is held" not in last_message(run)


def test_a_decommission_that_releases_nothing_names_what_was_left_behind(harness: RunHarness, owner: Client) -> None:
    _cancelled(harness)
    abandon(harness, owner, "deploy_workloads")
    (left,) = harness.existing_resources()

    owner.mutate("decommissionTenant", tenantId=tenant_gid(harness.tenant_id))

    data = end_of(harness, "tenant.deprovisioning.completed")
    assert data["released"] == []
    assert [one["name"] for one in data["abandoned"]] == [left]


def test_an_absence_check_names_an_abandoned_resource_that_exists_and_leaves_it(
    harness: RunHarness, owner: Client
) -> None:
    _cancelled(harness)
    abandon(harness, owner, "deploy_workloads")
    (left,) = harness.existing_resources()

    harness.make_moves(until=None)

    tenant, run = tenant_of(owner, harness)
    assert run["absenceChecks"] == [{"found": [], "foundAbandoned": [left]}] * 4
    assert harness.existing_resources() == [left]
    assert [one["name"] for one in tenant["abandonedResources"]] == [left]
    confirmed = end_of(harness, "tenant.provisioning.absence_confirmed")
    assert [one["name"] for one in confirmed["abandoned"]] == [left]


def test_an_abandoned_resource_is_left_behind_until_a_check_of_every_adapter_does_not_find_it(
    harness: RunHarness, owner: Client
) -> None:
    _cancelled(harness)
    abandon(harness, owner, "deploy_workloads")
    harness.simulated.holdings.drop(*_workload(harness))

    harness.faults.fail("identity.present", error=ConnectionError("no route"))
    check_absence(harness)
    in_between, _ = tenant_of(owner, harness)
    check_absence(harness)

    tenant, run = tenant_of(owner, harness)
    assert len(in_between["abandonedResources"]) == 1, "an adapter did not answer"
    assert tenant["abandonedResources"] == []
    (gone,) = [one for one in run["resources"] if one["status"] == "ABANDONED"]
    assert gone["absentAt"]
    assert gone["abandonedReason"] == REASON
    assert listed(owner, left=True) == []


def test_an_abandoned_resource_that_appears_again_is_left_behind_again(harness: RunHarness, owner: Client) -> None:
    _cancelled(harness)
    abandon(harness, owner, "deploy_workloads")
    stem, workload = _workload(harness)
    harness.simulated.holdings.drop(stem, workload)
    check_absence(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.holdings.take(stem, workload)

    check_absence(harness)

    tenant, _ = tenant_of(owner, harness)
    assert [one["name"] for one in tenant["abandonedResources"]] == [workload[1]]


def test_the_demonstration_says_that_nothing_is_held_only_if_that_is_so(harness: RunHarness, owner: Client) -> None:
    _cancelled(harness)
    during = what_is_left(owner.execute(TENANT, id=tenant_gid(harness.tenant_id))["tenant"], [])
    abandon(harness, owner, "deploy_workloads")
    left = what_is_left(owner.execute(TENANT, id=tenant_gid(harness.tenant_id))["tenant"], [])
    harness.simulated.holdings.drop(*_workload(harness))
    check_absence(harness)
    tenant = owner.execute(TENANT, id=tenant_gid(harness.tenant_id))["tenant"]

    assert during.startswith("Still there: postgres_role ")
    assert left.startswith("Still there: workload workload-shop-")
    assert left.endswith(f": {REASON}")
    assert what_is_left(tenant, []).startswith("Nothing is held: ")
    assert what_is_left(tenant, ["t_shop_r1"]) == "Still there: t_shop_r1."


def check_absence(harness: RunHarness) -> None:
    """Make the next absence check."""
    harness.end_waits()
    harness.step_runner.make_move(harness.run().id, Forward("confirm_absence"))


def _workload(harness: RunHarness) -> tuple[str, tuple[str, str]]:
    names = ResourceNames(harness.tenant_id, harness.tenant().address, 1)
    return names.stem, ("workload", names.workload)
