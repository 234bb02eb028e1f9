"""Load of hundreds of concurrent sagas, half of them cancelled at random times, while a nemesis injects faults."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event

from tests.conformance.field.scenario import ScenarioHarness

CONCURRENT_CLIENTS = 12
"""Clients that create and cancel at the same time."""

SETTLED_WITHIN = 120.0
"""Seconds until every run has finished after the last fault: twice the limit without faults (60 s), since each fault
may make a run wait for a lease or a back-off."""

Nemesis = Callable[[ScenarioHarness, random.Random], None]
"""Injects one fault. It is called repeatedly, on the main thread, until every saga was created and cancelled."""


def run_sagas(
    harness: ScenarioHarness,
    sagas: int,
    nemesis: Nemesis,
    *,
    every: float = 1.0,
    min_faults: int = 0,
    max_wait: float = 1.0,
    within: float = SETTLED_WITHIN,
    cancelled_share: float = 0.5,
    repair: Callable[[ScenarioHarness], None] | None = None,
) -> str:
    """Create ``sagas`` tenants, cancel a share of them and inject faults meanwhile; returns the figure of the row.

    The nemesis injects a fault every ``every`` seconds, ``min_faults`` at the least. A client waits at most
    ``max_wait`` seconds between creating and cancelling. Every run has to finish ``within`` so many seconds after the
    last fault and after ``repair``, which does what an operator has to do by hand.
    """
    rng = random.Random(harness.testbed.workers_started)  # reproducible, not a secret
    loading_ended = Event()
    answers: Counter[bool] = Counter()
    plans = [(rng.random() < cancelled_share, rng.uniform(0, max_wait)) for _ in range(sagas)]

    def run_one(to_be_cancelled: bool, delay: float) -> None:  # noqa: FBT001  # a plan's values
        saga = harness.create()
        if to_be_cancelled:
            loading_ended.wait(delay)
            answers[harness.cancel(saga)] += 1

    with ThreadPoolExecutor(CONCURRENT_CLIENTS) as pool:
        loading: list[Future[None]] = [pool.submit(run_one, *plan) for plan in plans]
        injected = 0
        while injected < min_faults or wait(loading, timeout=every).not_done:
            if injected < min_faults and not wait(loading, timeout=every).not_done:
                loading_ended.wait(every)
            nemesis(harness, rng)
            injected += 1
        for done in loading:
            done.result()
    harness.testbed.replace_dead_workers()
    if repair:
        repair(harness)
    ends = harness.await_all_runs(within)
    return f"{sagas} sagas, {answers[True]} cancels accepted, {injected} faults: {_counts(ends)}"


def _counts(ends: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
