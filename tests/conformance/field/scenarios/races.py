"""A race between cancel and activation."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.api import Facts
from tests.conformance.field.api_clients import accepted, codes
from tests.conformance.field.failpoint_controller import TIMEOUT
from tests.conformance.field.failpoints import Failpoint
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

RACERS = 10
REDUCED_RACES = 60
OUTCOMES = """
    query O($after: String) { tenants(first: 100, after: $after) { pageInfo { hasNextPage endCursor } edges { node {
      id state runs(first: 2) { edges { node { id status } } } } } } }
"""
ENDS = ["tenant.provisioning.cancelled", "tenant.provisioning.completed", "tenant.provisioning.failed"]
END_EVENTS = """
    query E($after: String, $types: [String!]) { auditEvents(first: 100, after: $after, filter: { typeIn: $types }) {
      pageInfo { hasNextPage endCursor } edges { node { type run { id } } } } }
"""


class CancelTrigger:
    """Signals each cancel when the pivot of its run is about to be claimed, and delays the pivot for a random time.

    The delay is adjusted to the outcomes, so that both outcomes stay likely.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, threading.Event] = {}
        self._rng = random.Random(7)  # reproducible, not a secret
        self._max_delay = 0.02

    def event_of(self, run_id: str) -> threading.Event:
        with self._lock:
            return self._events.setdefault(run_id, threading.Event())

    def rule(self, failpoint: Failpoint) -> None:
        if failpoint.where == "before claim":
            self.event_of(failpoint.run_id).set()
            time.sleep(self._rng.uniform(0, self._max_delay))  # a head start for the cancel

    def adjust(self, *, won: bool) -> None:
        """Lengthen the delay if the pivot won, shorten it if the cancel won."""
        with self._lock:
            self._max_delay = min(max(self._max_delay * (0.97 if won else 1.03), 0.001), 0.2)


@scenario(
    without="no_cancel_check_at_pivot", breaks="V5", options=Options(saga="pivot_only", forward_threads=6), alone=True
)
def cancel_race_mark_active_10k(harness: ScenarioHarness) -> str:
    """After "accepted" the tenant never becomes ACTIVE, after "too late" it is ACTIVE; there is no other outcome."""
    trigger = CancelTrigger()
    harness.testbed.controller.rule(trigger.rule)
    cancelled_by_run: dict[str, bool] = {}

    def race(number: int) -> None:
        saga = harness.owner.create(f"r{number}")
        assert trigger.event_of(saga.run_id).wait(TIMEOUT), "V8: the pivot is never claimed"
        answer = harness.owner.cancel(saga)
        cancelled_by_run[saga.run] = _outcome(answer)
        trigger.adjust(won=cancelled_by_run[saga.run])

    with ThreadPoolExecutor(RACERS) as racers:
        list(racers.map(race, range(harness.scaled(10_000, reduced=REDUCED_RACES))))
    harness.testbed.controller.clear()
    harness.checker.await_settled()

    cancelled = sum(cancelled_by_run.values())
    assert min(cancelled, len(cancelled_by_run) - cancelled) >= len(cancelled_by_run) / 10, (
        f"void: {cancelled} of {len(cancelled_by_run)} were accepted"
    )
    _expect_outcomes(harness, cancelled_by_run)
    return f"{cancelled:,} cancelled, {len(cancelled_by_run) - cancelled:,} ACTIVE, no other outcome"


def _outcome(answer: Facts) -> bool:
    if accepted(answer):
        return True
    assert codes(answer) == ["INVALID_STATE"], f"V5: {answer['userErrors']}"
    state = answer["userErrors"][0]["currentState"]
    assert state == "ACTIVE", f"V5: too late, but the tenant is {state}"
    return False


def _expect_outcomes(harness: ScenarioHarness, cancelled_by_run: dict[str, bool]) -> None:
    """V1, V5, V7: each run has one end, the promised one, with one event."""
    for tenant in harness.checker.pages(OUTCOMES, "tenants"):
        [run] = nodes(tenant["runs"])
        expected = ("PENDING", "CANCELLED") if cancelled_by_run[run["id"]] else ("ACTIVE", "SUCCEEDED")
        assert (tenant["state"], run["status"]) == expected, (
            f"V5: {tenant['state']}, {run['status']}, expected {expected}"
        )
    ends = [
        (event["run"]["id"], event["type"]) for event in harness.checker.pages(END_EVENTS, "auditEvents", types=ENDS)
    ]
    expected_ends = {(run, ENDS[0] if won else ENDS[1]) for run, won in cancelled_by_run.items()}
    assert len(ends) == len(expected_ends), f"V7: {len(ends)} ends of {len(expected_ends)} runs"
    assert set(ends) == expected_ends, "V7: a run has another end than the promised one"
