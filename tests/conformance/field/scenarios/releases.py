"""A scenario of a rolling update to a release with another list of steps, while runs are in progress."""

import random
from collections import Counter

from provisioning.transitions import RELEASE_REASONS
from tests.api import Facts
from tests.conformance.field.invariant_checker import FAILED, STARTED
from tests.conformance.field.revisions import NEXT_STEPS
from tests.conformance.field.saga_load import run_sagas
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options
from tests.tenant_states import PIVOT, STEPS

HALTS = (
    "before storage.create",
    "before identity.create",
    "before traffic.reserve",
    "before storage.migrate",
    "before deployer.deploy",
    "before deployer.health",
)
RELEASE = "next_release"
RELEASED_MOVE_ERRORS = frozenset(reason.value for reason in RELEASE_REASONS)
OWN_TESTBED = Options(workers=3, lease=10)
"""A testbed that no other scenario uses: its workers run another release in the end. Their leases must not expire."""


@scenario(without="undo_order_by_release", breaks=("V3", "V13"), options=OWN_TESTBED)
def cancel_during_rolling_deploy_new_step_list(harness: ScenarioHarness) -> str:
    """A release renames, swaps, drops and adds steps: earlier runs continue and are undone by their own plan."""
    harness.checker.moves_handed_over = True
    controller = harness.testbed.controller
    halted = {}
    for where in HALTS:
        gate = controller.halt_at("before claim", times=1000)
        saga = harness.create()
        halted[saga] = controller.halt_at(where, run_id=saga.run_id, times=1000, stoppable=True)
        gate.release()
        halted[saga].await_first()
    unhalted = [harness.create() for _ in range(harness.scaled(20, reduced=2))]

    roll_out(harness, harness.testbed.options.workers)
    harness.testbed.stop_api()
    harness.testbed.start_api(saga=RELEASE)
    for saga in halted:
        assert harness.cancel(saga), "V5: the cancel of a run in progress was refused"
    for halt in halted.values():
        halt.release()
    for saga in halted:
        harness.checker.await_run(saga, "CANCELLED", within=harness.within(60))
    for saga in unhalted:
        harness.checker.await_run(saga, "SUCCEEDED", within=60)
    new = harness.create()
    harness.checker.await_run(new, "SUCCEEDED", within=60)
    assert _begun(harness, unhalted[0].run) == [*STEPS, PIVOT], (
        "V3: a run does not follow the plan that it started with"
    )
    assert _begun(harness, new.run) == [*NEXT_STEPS, PIVOT], "V3: a new run does not follow the new plan"
    harness.await_all_runs()

    figure = run_sagas(harness, harness.scaled(200), _roll_out_one, every=3, min_faults=2)
    begun, failed = _of_type(harness, STARTED), _of_type(harness, FAILED)
    for event in failed:
        error = event["data"]["error"]
        stopped = error in RELEASED_MOVE_ERRORS or "worker was lost" in error
        assert not stopped, f"V8: a restart counted as a failure: {event['data']}"
    # A step may fail without a fault, for instance if the disk stalls: then one more attempt is allowed.
    own = Counter(_step_of(event) for event in failed)
    again = {_step_of(event) for event in begun if event["data"]["attempt"] > 1 + own[_step_of(event)]}
    assert not again, f"V8: a restart counted as an attempt: {[_event_lines(harness, run) for run, _ in again]}"
    by_themselves = f", {len(failed)} failed without a fault" if failed else ""
    counted = f"{len(begun)} steps, none of them counted twice{by_themselves}"
    return f"{len(halted)} runs halted by the restart, {counted}; {figure}"


def roll_out(harness: ScenarioHarness, count: int) -> None:
    """Replace the oldest workers by workers of the new release, one after the other."""
    for old in harness.testbed.workers[:count]:
        harness.testbed.start_workers(saga=RELEASE)
        harness.testbed.stop_workers(old)


def _roll_out_one(harness: ScenarioHarness, _: random.Random) -> None:
    roll_out(harness, 1)


def _of_type(harness: ScenarioHarness, type_: str) -> list[Facts]:
    return [event for event in harness.checker.events() if event["type"] == type_]


def _step_of(event: Facts) -> tuple[str, str]:
    return event["run"]["id"], event["data"]["step"]


def _event_lines(harness: ScenarioHarness, run: str) -> list[str]:
    events = [event for event in harness.checker.events() if event["run"] and event["run"]["id"] == run]
    return [f"{event['occurredAt']} {event['type']} {event['data']}" for event in events]


def _begun(harness: ScenarioHarness, run: str) -> list[str]:
    events = [event for event in harness.checker.events() if event["run"] and event["run"]["id"] == run]
    return [event["data"]["step"] for event in events if event["type"] == STARTED]
