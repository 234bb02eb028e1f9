"""How soon runs go on after something died, with the times that the product has by default."""

from collections.abc import Collection
from datetime import UTC, datetime
from statistics import quantiles

from tests.conformance.field.director import Hold, let_pass, until
from tests.conformance.field.people import Saga
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario

DEFAULTS = Wishes(lease=15, sweep=1, forward_threads=30)
"""The product's own lease and sweep interval."""

AFTER_A_KILL = 20.0
"""Seconds until a run has to move again: the rest of its lease (15 s), a sweep (1 s), and four for its next attempt."""

AFTER_A_FLUSH = 3.0
"""The same: its message counts as lost after 1 s, the next sweep (1 s) sends another, and one more to claim it."""

AFTER_THE_BROKER = 3.0
"""The same: senders rest 1 s at the most between two tries, the next sweep comes within 1 s, and one more to claim."""

AFTER_POSTGRES = 5.0
"""The same, as docs/operating.md promises: threads try again every 0.5 s; a step that is handed on rests for 1.2 s, its
message counts as lost after 1 s, the next sweep (1 s) sends another, and one more to claim. Twenty runs took 3.5 s at
the most."""


@scenario(without="leases_that_never_lapse", breaks="V8", wishes=DEFAULTS, alone=True)
def worker_killed_recovers(play: Play) -> str:
    """SIGKILL in the middle of many steps: the next attempt begins within 20 s."""
    took = []
    for _ in range(play.many(2, hurried=1)):
        sagas, holds = _halted(play, play.many(54, hurried=6), "before deployer.deploy")
        victims = list(play.field.workers)
        play.field.hire(len(victims))
        killed = datetime.now(UTC)
        for victim in victims:
            play.field.kill(victim)
        for hold in holds:
            hold.let_go()
        took += _recovered(play, sagas, killed, AFTER_A_KILL)
    play.settle()
    return _told(took, AFTER_A_KILL)


@scenario(without="no_sweeper", breaks="V8", wishes=DEFAULTS, alone=True)
def broker_flushed_recovers(play: Play) -> str:
    """Every message is lost while workers sleep: awake, they go on within 3 s."""
    took = []
    for _ in range(play.many(4, hurried=1)):
        for worker in play.field.workers:
            play.field.pause(worker)
        sagas = [play.create() for _ in range(play.many(25, hurried=6))]
        play.field.flush_broker()
        flushed = datetime.now(UTC)
        for worker in play.field.workers:
            play.field.go_on(worker)
        took += _recovered(play, sagas, flushed, AFTER_A_FLUSH)
        play.settle()
    return _told(took, AFTER_A_FLUSH)


@scenario(without="no_sweeper", breaks="V8", wishes=DEFAULTS, alone=True)
def broker_back_recovers(play: Play) -> str:
    """The broker is back after a minute: everything that was asked for meanwhile begins within 3 s."""
    play.field.stop_broker()
    sagas = [play.create() for _ in range(play.many(50, hurried=6))]
    outage = 5.0 if play.hurried else 60.0
    let_pass(outage)
    back = datetime.now(UTC)
    play.field.start_broker()
    took = _recovered(play, sagas, back, AFTER_THE_BROKER)
    play.settle()
    return f"away for {outage:.0f} s; {_told(took, AFTER_THE_BROKER)}"


@scenario(without="one_try_to_record", breaks="V8", wishes=DEFAULTS, alone=True)
def postgres_back_recovers(play: Play) -> str:
    """Postgres crashes while steps are under way: once it is back, each is on record or goes on within 5 s."""
    took = []
    for _ in range(play.many(3, hurried=1)):
        sagas, holds = _halted(play, play.many(20, hurried=6), "before record")
        away = datetime.now(UTC)
        play.field.stop_postgres()
        for hold in holds:
            hold.let_go()
        let_pass(4)
        play.field.start_postgres()
        back = (datetime.now(UTC) - away).total_seconds()
        took += [max(0.0, after - back) for after in _recovered(play, sagas, away, AFTER_POSTGRES)]
        play.checker.await_settled()
    play.checker.handed_on = True
    play.settle()
    return _told(took, AFTER_POSTGRES)


def _halted(play: Play, count: int, where: str) -> tuple[list[Saga], list[Hold]]:
    """So many runs, each in the middle of a step."""
    halting = [play.create_halting(where) for _ in range(count)]
    for _, hold in halting:
        hold.await_one(within=60)
    return [saga for saga, _ in halting], [hold for _, hold in halting]


def _recovered(play: Play, sagas: Collection[Saga], since: datetime, limit: float) -> list[float]:
    """Seconds until the next event of each run."""
    wanted = {saga.run for saga in sagas}

    def moved() -> dict[str, float]:
        times: dict[str, float] = {}
        for event in play.checker.events():
            after = (datetime.fromisoformat(event["occurredAt"]) - since).total_seconds()
            if after > 0 and event["run"]:
                times.setdefault(event["run"]["id"], after)
        return times

    # The feed tells when it was; how long it takes to be told does not count.
    within = play.within(limit + 30, in_vain=limit + 5)
    until(lambda: wanted <= moved().keys(), "V8: not every run moves again", within=within, every=1)
    return [after for run, after in moved().items() if run in wanted]


def _told(took: list[float], limit: float) -> str:
    hundredths = quantiles(took, n=100, method="inclusive")
    figure = f"{len(took)} runs, p50 {hundredths[49]:.1f} s, p99 {hundredths[98]:.1f} s, longest {max(took):.1f} s"
    assert hundredths[98] < limit, f"V8: {limit:g} s are allowed: {figure}"
    return figure
