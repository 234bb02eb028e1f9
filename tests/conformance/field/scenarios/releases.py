"""When a release with another list of steps comes while runs are under way, one process after the other."""

import random
from collections import Counter

from provisioning.engine import HAND_OVER_REASONS
from tests.api import Facts
from tests.conformance.field.campaign import campaign
from tests.conformance.field.invariant_checker import FAILED, STARTED
from tests.conformance.field.processes import Wishes
from tests.conformance.field.revisions import NEXT_STEPS
from tests.conformance.field.scenario import Play, scenario
from tests.scenarios import PIVOT, STEPS

HALTS = (
    "before storage.create",
    "before identity.create",
    "before traffic.reserve",
    "before storage.migrate",
    "before deployer.deploy",
    "before deployer.health",
)
RELEASE = "next_release"
STOPPED = frozenset(reason.value for reason in HAND_OVER_REASONS)
OF_ITS_OWN = Wishes(workers=3, lease=10)
"""Nobody else may get these workers: they are of another release in the end. Their leases must not lapse by the way."""


@scenario(without="undo_by_the_releases_list", breaks=("V3", "V13"), wishes=OF_ITS_OWN)
def cancel_during_rolling_deploy_new_step_list(play: Play) -> str:
    """A release renames, swaps, drops and adds steps: runs that were under way go on, and are undone, as planned."""
    play.checker.handed_on = True
    director = play.field.director
    halted = {}
    for where in HALTS:
        gate = director.hold("before claim", times=1000)
        saga = play.create()
        halted[saga] = director.hold(where, run_id=saga.run_id, times=1000, patient=True)
        gate.let_go()
        halted[saga].await_one()
    going = [play.create() for _ in range(play.many(20, hurried=2))]

    roll(play, play.field.wishes.workers)
    play.field.stop_api()
    play.field.start_api(saga=RELEASE)
    for saga in halted:
        assert play.cancel(saga), "V5: it was on its way"
    for hold in halted.values():
        hold.let_go()
    for saga in halted:
        play.checker.await_run(saga, "CANCELLED", within=play.within(60))
    for saga in going:
        play.checker.await_run(saga, "SUCCEEDED", within=60)
    new = play.create()
    play.checker.await_run(new, "SUCCEEDED", within=60)
    assert _begun(play, going[0].run) == [*STEPS, PIVOT], "V3: a run does not go by the plan that it began with"
    assert _begun(play, new.run) == [*NEXT_STEPS, PIVOT], "V3: a new run does not go by the new plan"
    play.settle()

    figure = campaign(play, play.many(200), _roll_one, every=3, blows=2)
    begun, failed = _of_type(play, STARTED), _of_type(play, FAILED)
    for event in failed:
        error = event["data"]["error"]
        stopped = error in STOPPED or "worker was lost" in error
        assert not stopped, f"V8: a restart counted as a failure: {event['data']}"
    # A step may fail by itself, on a disk that stalls for instance: then its next attempt counts, and no other.
    own = Counter(_step_of(event) for event in failed)
    again = {_step_of(event) for event in begun if event["data"]["attempt"] > 1 + own[_step_of(event)]}
    assert not again, f"V8: a restart counted as an attempt: {[_story(play, run) for run, _ in again]}"
    by_themselves = f", {len(failed)} failed by themselves" if failed else ""
    counted = f"{len(begun)} steps, none of them counted twice{by_themselves}"
    return f"{len(halted)} runs halted by the restart, {counted}; {figure}"


def roll(play: Play, count: int) -> None:
    """Replace the oldest workers by those of the new release, one by one."""
    for old in play.field.workers[:count]:
        play.field.hire(saga=RELEASE)
        play.field.dismiss(old)


def _roll_one(play: Play, _: random.Random) -> None:
    roll(play, 1)


def _of_type(play: Play, type_: str) -> list[Facts]:
    return [event for event in play.checker.events() if event["type"] == type_]


def _step_of(event: Facts) -> tuple[str, str]:
    return event["run"]["id"], event["data"]["step"]


def _story(play: Play, run: str) -> list[str]:
    events = [event for event in play.checker.events() if event["run"] and event["run"]["id"] == run]
    return [f"{event['occurredAt']} {event['type']} {event['data']}" for event in events]


def _begun(play: Play, run: str) -> list[str]:
    events = [event for event in play.checker.events() if event["run"] and event["run"]["id"] == run]
    return [event["data"]["step"] for event in events if event["type"] == STARTED]
