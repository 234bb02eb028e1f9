"""Cancel and activation at the same moment."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.api import Facts
from tests.conformance.field.director import PATIENCE
from tests.conformance.field.failpoints import Failpoint
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.people import accepted, codes
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario

RACERS = 10
FEW = 60
OUTCOMES = """
    query O($after: String) { tenants(first: 100, after: $after) { pageInfo { hasNextPage endCursor } edges { node {
      id state runs(first: 2) { edges { node { id status } } } } } } }
"""
ENDS = ["tenant.provisioning.cancelled", "tenant.provisioning.completed", "tenant.provisioning.failed"]
TOLD = """
    query E($after: String, $types: [String!]) { auditEvents(first: 100, after: $after, filter: { typeIn: $types }) {
      pageInfo { hasNextPage endCursor } edges { node { type run { id } } } } }
"""


class Starter:
    """Fires each cancel when its run's pivot is about to be claimed, and holds the pivot back by a chance.

    How long follows the outcomes, so that both stay likely.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guns: dict[str, threading.Event] = {}
        self._chance = random.Random(7)  # a race, not a secret
        self._longest = 0.02

    def gun(self, run_id: str) -> threading.Event:
        with self._lock:
            return self._guns.setdefault(run_id, threading.Event())

    def rule(self, moment: Failpoint) -> None:
        if moment.where == "before claim":
            self.gun(moment.run_id).set()
            time.sleep(self._chance.uniform(0, self._longest))  # the runner's handicap

    def learn(self, *, won: bool) -> None:
        """More handicap when the pivot wins, less when the cancel does."""
        with self._lock:
            self._longest = min(max(self._longest * (0.97 if won else 1.03), 0.001), 0.2)


@scenario(without="no_guard_at_the_pivot", breaks="V5", wishes=Wishes(saga="pivot_only", forward_threads=6), alone=True)
def cancel_race_mark_active_10k(play: Play) -> str:
    """Whoever is told "accepted" sees no ACTIVE tenant, whoever is told "too late" sees one, and there is no third."""
    starter = Starter()
    play.field.director.rule(starter.rule)
    told: dict[str, bool] = {}

    def race(number: int) -> None:
        saga = play.owner.create(f"r{number}")
        assert starter.gun(saga.run_id).wait(PATIENCE), "V8: its pivot is never claimed"
        answer = play.owner.cancel(saga)
        told[saga.run] = _outcome(answer)
        starter.learn(won=told[saga.run])

    with ThreadPoolExecutor(RACERS) as racers:
        list(racers.map(race, range(play.many(10_000, hurried=FEW))))
    play.field.director.clear()
    play.checker.await_settled()

    cancelled = sum(told.values())
    assert min(cancelled, len(told) - cancelled) >= len(told) / 10, f"void: {cancelled} of {len(told)} were accepted"
    _hold_against(play, told)
    return f"{cancelled:,} cancelled, {len(told) - cancelled:,} ACTIVE, no third"


def _outcome(answer: Facts) -> bool:
    if accepted(answer):
        return True
    assert codes(answer) == ["INVALID_STATE"], f"V5: {answer['userErrors']}"
    state = answer["userErrors"][0]["currentState"]
    assert state == "ACTIVE", f"V5: too late, and {state}"
    return False


def _hold_against(play: Play, told: dict[str, bool]) -> None:
    """V1, V5, V7: one end for each run, the promised one, told once."""
    for tenant in play.checker.pages(OUTCOMES, "tenants"):
        [run] = nodes(tenant["runs"])
        right = ("PENDING", "CANCELLED") if told[run["id"]] else ("ACTIVE", "SUCCEEDED")
        assert (tenant["state"], run["status"]) == right, f"V5: {tenant['state']}, {run['status']}, told {right}"
    ends = [(event["run"]["id"], event["type"]) for event in play.checker.pages(TOLD, "auditEvents", types=ENDS)]
    right_ends = {(run, ENDS[0] if won else ENDS[1]) for run, won in told.items()}
    assert len(ends) == len(right_ends), f"V7: {len(ends)} ends of {len(right_ends)} runs"
    assert set(ends) == right_ends, "V7: an end is not the promised one"
