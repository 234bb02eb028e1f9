"""Scenarios that measure how soon runs continue after a failure, with the product's default times."""

from collections.abc import Collection
from datetime import UTC, datetime
from statistics import quantiles

from tests.conformance.field.api_clients import Saga
from tests.conformance.field.failpoint_controller import Halt, let_time_pass, until
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

DEFAULT_OPTIONS = Options(lease=15, sweep=1, forward_threads=30)
"""The product's default lease and sweep interval."""

AFTER_A_KILL = 20.0
"""Seconds until a run has to continue: the rest of its lease (15 s), a sweep (1 s), and 4 s for its next attempt."""

AFTER_A_DEATH = 3.0
"""The same for a process that dies on a live machine: a look (0.5 s), another after 1 s, and 1.5 s to claim the run."""

STEPS_OF_TWO_WORKERS = 20
"""As many as two workers perform at once by default."""

LOCKS_SETTLE = 3.0
"""Seconds after which new processes decide about others, and a second more."""

AFTER_A_FLUSH = 3.0
"""The same: the message counts as lost after 1 s, the next sweep (1 s) sends another, and 1 s to claim it."""

AFTER_THE_BROKER = 3.0
"""The same: senders back off for 1 s at the most, the next sweep follows within 1 s, and 1 s to claim the run."""

AFTER_POSTGRES = 5.0
"""The same, as docs/operating.md promises: threads retry every 0.5 s; a step that is handed over waits for 1.2 s, its
message counts as lost after 1 s, the next sweep (1 s) sends another, and 1 s to claim. Twenty runs took 3.5 s at the
most."""


@scenario(without="no_lease_expiry", breaks="V8", options=DEFAULT_OPTIONS, alone=True)
def worker_killed_recovers(harness: ScenarioHarness) -> str:
    """Workers vanish in the middle of many steps, as with their machine: the next attempts start within 20 s.

    They are paused, so that no connection is closed, and killed at the end.
    """
    took = []
    for _ in range(harness.scaled(2, reduced=1)):
        sagas, halts = _halted(harness, harness.scaled(54, reduced=6), "before deployer.deploy")
        victims = list(harness.testbed.workers)
        harness.testbed.start_workers(len(victims))
        vanished = datetime.now(UTC)
        for victim in victims:
            harness.testbed.pause(victim)
        for halt in halts:
            halt.release()
        took += _recovered(harness, sagas, vanished, AFTER_A_KILL)
        for victim in victims:
            harness.testbed.kill(victim)
    harness.await_all_runs()
    return _percentiles(took, AFTER_A_KILL)


@scenario(without="no_notice_of_dead_workers", breaks="V8", options=DEFAULT_OPTIONS, alone=True)
def a_dead_worker_is_noticed_at_once(harness: ScenarioHarness) -> str:
    """A worker is killed in the middle of many steps, and its machine lives: the next attempts start within 3 s.

    The connections that show that the workers live are cut before: no step is repeated because of that.
    """
    took, repeated = [], 0
    for _ in range(harness.scaled(3, reduced=1)):
        sagas, halts = _halted(harness, harness.scaled(STEPS_OF_TWO_WORKERS, reduced=6), "before deployer.deploy")
        victims = list(harness.testbed.workers)
        harness.testbed.start_workers(len(victims))
        let_time_pass(LOCKS_SETTLE)
        cut = datetime.now(UTC)
        harness.testbed.cut_listeners()
        let_time_pass(LOCKS_SETTLE)
        repeated += len(_moved(harness, cut).keys() & {saga.run for saga in sagas})
        killed = datetime.now(UTC)
        for victim in victims:
            harness.testbed.kill(victim)
        for halt in halts:
            halt.release()
        took += _recovered(harness, sagas, killed, AFTER_A_DEATH)
    assert repeated <= len(took) / 20, f"V9: {repeated} of {len(took)} steps were taken from live workers"
    harness.await_all_runs()
    return f"{_percentiles(took, AFTER_A_DEATH)}; {repeated} repeated after {len(took)} cut connections"


@scenario(without="no_sweeper", breaks="V8", options=DEFAULT_OPTIONS, alone=True)
def broker_flushed_recovers(harness: ScenarioHarness) -> str:
    """The broker loses every message while the workers are paused: runs continue within 3 s after they resume."""
    took = []
    for _ in range(harness.scaled(4, reduced=1)):
        for worker in harness.testbed.workers:
            harness.testbed.pause(worker)
        sagas = [harness.create() for _ in range(harness.scaled(25, reduced=6))]
        harness.testbed.flush_broker()
        flushed = datetime.now(UTC)
        for worker in harness.testbed.workers:
            harness.testbed.resume(worker)
        took += _recovered(harness, sagas, flushed, AFTER_A_FLUSH)
        harness.await_all_runs()
    return _percentiles(took, AFTER_A_FLUSH)


@scenario(without="no_sweeper", breaks="V8", options=DEFAULT_OPTIONS, alone=True)
def broker_back_recovers(harness: ScenarioHarness) -> str:
    """The broker is down for a minute: every run created meanwhile starts within 3 s after it is back."""
    harness.testbed.stop_broker()
    sagas = [harness.create() for _ in range(harness.scaled(50, reduced=6))]
    outage = 5.0 if harness.reduced else 60.0
    let_time_pass(outage)
    back = datetime.now(UTC)
    harness.testbed.start_broker()
    took = _recovered(harness, sagas, back, AFTER_THE_BROKER)
    harness.await_all_runs()
    return f"down for {outage:.0f} s; {_percentiles(took, AFTER_THE_BROKER)}"


@scenario(without="no_retry_of_record", breaks="V8", options=DEFAULT_OPTIONS, alone=True)
def postgres_back_recovers(harness: ScenarioHarness) -> str:
    """Postgres crashes while steps are in progress: within 5 s after it is back, each is recorded or continues."""
    took = []
    for _ in range(harness.scaled(3, reduced=1)):
        sagas, halts = _halted(harness, harness.scaled(20, reduced=6), "before record")
        away = datetime.now(UTC)
        harness.testbed.stop_postgres()
        for halt in halts:
            halt.release()
        let_time_pass(4)
        harness.testbed.start_postgres()
        back = (datetime.now(UTC) - away).total_seconds()
        took += [max(0.0, after - back) for after in _recovered(harness, sagas, away, AFTER_POSTGRES)]
        harness.checker.await_settled()
    harness.checker.moves_handed_over = True
    harness.await_all_runs()
    return _percentiles(took, AFTER_POSTGRES)


def _halted(harness: ScenarioHarness, count: int, where: str) -> tuple[list[Saga], list[Halt]]:
    """``count`` runs, each halted in the middle of a step."""
    halting = [harness.create_halted(where) for _ in range(count)]
    for _, halt in halting:
        halt.await_first(within=60)
    return [saga for saga, _ in halting], [halt for _, halt in halting]


def _recovered(harness: ScenarioHarness, sagas: Collection[Saga], since: datetime, limit: float) -> list[float]:
    """Seconds until the next event of each run."""
    expected = {saga.run for saga in sagas}
    # The times are those of the events; the delay until an event is in the feed does not count.
    within = harness.within(limit + 30, without_protection=limit + 5)
    until(lambda: expected <= _moved(harness, since).keys(), "V8: not every run continues", within=within, every=1)
    return [after for run, after in _moved(harness, since).items() if run in expected]


def _moved(harness: ScenarioHarness, since: datetime) -> dict[str, float]:
    """Seconds until the next event of each run that has one."""
    times: dict[str, float] = {}
    for event in harness.checker.events():
        after = (datetime.fromisoformat(event["occurredAt"]) - since).total_seconds()
        if after > 0 and event["run"]:
            times.setdefault(event["run"]["id"], after)
    return times


def _percentiles(took: list[float], limit: float) -> str:
    hundredths = quantiles(took, n=100, method="inclusive")
    figure = f"{len(took)} runs, p50 {hundredths[49]:.1f} s, p99 {hundredths[98]:.1f} s, longest {max(took):.1f} s"
    assert hundredths[98] < limit, f"V8: the limit is {limit:g} s: {figure}"
    return figure
