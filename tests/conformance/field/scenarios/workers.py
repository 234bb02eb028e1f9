"""When workers die, fall asleep, or die of what they do, in the middle of a cancel."""

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial

from provisioning.engine import COMPENSATION_ATTEMPTS
from tests.conformance.field.calls import CALLS, LAST_CALL, UNDONE_BY
from tests.conformance.field.campaign import campaign
from tests.conformance.field.director import Hold, let_pass, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.people import Saga, codes
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario
from tests.scenarios import PIVOT

ON_RECORD = "before deliver"
"""The move is on record, and nobody has been told to make the next."""

LIFE = 10.0
"""Seconds from one death of a poisoned process to the next: lease (2 s), a message that counts as lost (1 s), sweep
(0.5 s), and the start of another process, which took 5 s at a load of 20 on two cores."""

ENDED_WITHIN = COMPENSATION_ATTEMPTS * LIFE
"""Seconds until a run that kills whoever performs it has to be at its end: an undo is given up after eight attempts."""

ROOMY = Wishes(forward_threads=18, compensation_threads=18)
"""Threads enough for every run to halt somewhere at once."""


@scenario(without="leases_that_never_lapse", breaks="V8", wishes=ROOMY)
def cancel_with_killed_worker(play: Play) -> str:
    """Workers are killed before each call, after it and after its record, forward and undoing; then every second."""
    steps = ["allocate_storage", "deploy_workloads"] if play.hurried else list(CALLS)
    halted = [(step, where, _halt(play, where, step)[0]) for step, where in _spots(steps)]
    early = [saga for _, where, saga in halted[::2] if where != ON_RECORD]
    for saga in early:
        assert play.cancel(saga), "V5: its worker had not even died"
    kill_everybody(play)
    undoing = [
        play.field.director.hold(_undone_at(where), step=step, run_id=saga.run_id, backward=True)
        for step, where, saga in halted
        if _undone_at(where)
    ]
    play.field.keep_up()
    for saga in [saga for _, _, saga in halted if saga not in early]:  # those may be undone by now
        assert play.cancel(saga), "V5: it was on its way"
    for hold in undoing:
        hold.await_one(play.within(60))
    kill_everybody(play)
    play.field.keep_up()
    play.settle(play.within(60))
    return f"{len(halted)} + {len(undoing)} exact places; {campaign(play, play.many(200), kill_one, blows=1)}"


@scenario(without="no_tombstones_outside", breaks="V2")
def cancel_with_paused_worker_resumed_late(play: Play) -> str:
    """A worker sleeps between its last check and its call, is overtaken by the undo, and makes the call."""
    halted = {}
    for call in UNDONE_BY:
        saga, hold = _halt(play, f"before {call}")
        halted[saga.run_id] = saga, hold
    asleep = list(play.field.workers)
    for worker in asleep:
        play.field.pause(worker)
    play.field.hire()
    for saga, _ in halted.values():
        assert play.cancel(saga), "V5: it is not ACTIVE"
    for saga, _ in halted.values():
        play.checker.await_run(saga, "CANCELLED", within=60)
    play.checker.inspect()

    returned: dict[str, str] = {}
    ways = {run: {f"after {call}", "before record_failure"} for run, call in zip(halted, UNDONE_BY, strict=True)}
    play.field.director.rule(partial(_note, returned, ways))
    for _, hold in halted.values():
        # Awake again, it may hear of the cancel before it goes on; a call that is on its way hears nothing.
        hold.let_go(Answers.DEAF)
    for worker in asleep:
        play.field.go_on(worker)
    until(lambda: returned.keys() == halted.keys(), "V8: not every late call returned")
    play.checker.inspect_inventories()
    came_through = [where for where in returned.values() if where.startswith("after")]
    assert not came_through, f"V2: came late and through: {came_through}"
    return f"{len(returned)} late calls came to nothing; {campaign(play, play.many(200), pause_one, blows=2)}"


@scenario(without="no_count_before_the_attempt", breaks="V13", wishes=Wishes(workers=3, lease=2))
def cancel_with_poison_step(play: Play) -> str:
    """Steps and undos that kill every process that performs them: the right end, and the neighbours go on."""
    poison: dict[str, str] = {}
    deaths: Counter[str] = Counter()

    def rule(moment: Failpoint) -> str | None:
        if poison.get(moment.run_id) != moment.where:
            return None
        deaths[moment.run_id] += 1
        return Answers.DIE

    play.field.director.rule(rule)
    failing = _poisoned(play, poison, "before deployer.deploy")
    cancelled = _poisoned(play, poison, "before deployer.deploy")
    stuck = _poisoned(play, poison, "before identity.destroy")
    _await(play, lambda: bool(deaths[cancelled.run_id]), "V8: the poison is never tasted")
    for saga in (cancelled, stuck):
        assert play.cancel(saga), "V5: it was on its way"
    neighbours = [play.create() for _ in range(play.many(60, hurried=6))]
    for saga in neighbours[::2]:
        play.cancel(saga)
    for saga in neighbours:
        _await_end(play, saga, "CANCELLED", "SUCCEEDED")
    meanwhile = deaths.total()
    _await_end(play, cancelled, "CANCELLED")
    _await_end(play, failing, "FAILED")
    _await_end(play, stuck, "STUCK")
    poison.clear()
    assert codes(play.owner.retry_until_available("resumeCompensation", tenantId=stuck.id)) == [], (
        "V13: it cannot be resumed"
    )
    play.field.keep_up()
    ends = play.settle()
    assert ends["FAILED"] == 1, f"V1: a neighbour failed: {ends}"
    told = f"FAILED after {deaths[failing.run_id]} deaths, STUCK after {deaths[stuck.run_id]}"
    return f"{told}; {len(neighbours)} neighbours went by during {meanwhile}"


def kill_one(play: Play, chance: random.Random) -> None:
    """SIGKILL one of the workers, and start another."""
    play.field.kill(chance.choice(play.field.workers))
    play.field.keep_up()


def kill_everybody(play: Play) -> None:
    """SIGKILL them all."""
    for worker in list(play.field.workers):
        play.field.kill(worker)


def pause_one(play: Play, chance: random.Random) -> None:
    """SIGSTOP until every lease has lapsed, and SIGCONT."""
    worker = chance.choice(play.field.workers)
    play.field.pause(worker)
    let_pass(play.field.wishes.lease + 1)
    play.field.go_on(worker)


def _spots(steps: list[str]) -> list[tuple[str, str]]:
    """Each place of each step, those on record last: their runs are taken on by others, as far as the last step."""
    around = [(step, f"{when} {CALLS[step]}") for step in steps for when in ("before", "after")]
    return around + [(step, ON_RECORD) for step in steps if CALLS[step] != LAST_CALL]


def _undone_at(where: str) -> str:
    """The same place on the way back; nothing where a step has nothing to undo outside."""
    when, what = where.split(maxsplit=1)
    return where if where == ON_RECORD else f"{when} {UNDONE_BY[what]}" if what in UNDONE_BY else ""


def _halt(play: Play, where: str, step: str = "") -> tuple[Saga, Hold]:
    """A run whose worker stands still there."""
    gate = play.field.director.hold("before claim", times=1000)
    saga = play.create()
    hold = play.field.director.hold(where, run_id=saga.run_id, step=step)
    # Whoever takes it on gets no further than this, so that a cancel is never too late.
    if where.endswith(LAST_CALL):
        play.field.director.hold("before claim", step=PIVOT, run_id=saga.run_id, times=1000)
    else:
        play.field.director.hold(f"before {LAST_CALL}", run_id=saga.run_id, times=1000, patient=True)
    gate.let_go()
    hold.await_one()
    return saga, hold


def _note(returned: dict[str, str], ways: Mapping[str, Collection[str]], moment: Failpoint) -> None:
    """Remember how a late call returned. Messages for the same run, and what follows its end, are no late calls."""
    if moment.where in ways.get(moment.run_id, ()) and not moment.backward and moment.step in CALLS:
        returned.setdefault(moment.run_id, moment.where)


def _poisoned(play: Play, poison: dict[str, str], where: str) -> Saga:
    """A run that kills whoever comes there with it."""
    gate = play.field.director.hold("before claim", times=1000)
    saga = play.create()
    poison[saga.run_id] = where
    # Poison on the way back lets it pass on the way there: it stands still before a cancel would be too late.
    play.field.director.hold(f"before {LAST_CALL}", run_id=saga.run_id, times=1000, patient=True)
    gate.let_go()
    return saga


def _await_end(play: Play, saga: Saga, *statuses: str) -> None:
    _await(play, lambda: play.owner.look(saga)["run"]["status"] in statuses, f"V13: {saga.slug} is never {statuses}")


def _await(play: Play, condition: Callable[[], bool], otherwise: str) -> None:
    """Wait, and start a worker for each that dies."""

    def come_true() -> bool:
        play.field.keep_up()
        return condition()

    until(come_true, otherwise, within=play.within(ENDED_WITHIN, in_vain=20))
