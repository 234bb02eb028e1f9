"""Many runs that wait for their workload: what the looks at them cost, and how late they are."""

import time
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.cpu import Meter
from benchmarks.product import Product, product
from benchmarks.servers import Servers
from benchmarks.summary import quantile
from benchmarks.world import WAITING

ASKED_INTERVAL = 2.0
"""Seconds that the step await_readiness asks for between two looks at its workload."""

WINDOW = 20.0
"""Seconds in which the looks are counted."""

CREATED_TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """The looks at many runs that wait.

    A look is late by a percentage of the time that the step asked for; below zero it is early.
    """

    runs: int
    looks_per_second: float
    late_percent_p50: float
    late_percent_p99: float
    worker_cpu_percent: float
    postgres_cpu_percent: float


def measure_waiting(servers: Servers, runs: int) -> Waiting:
    """Many runs whose workload does not become ready, so that each is looked at again and again."""
    with product(servers) as running:
        for first in range(0, runs, CREATED_TOGETHER):
            numbers = range(first, min(first + CREATED_TOGETHER, runs))
            running.create_together([f"{WAITING}-{number}" for number in numbers])
        running.await_all(lambda: len({fact.subject for fact in running.facts.read("looked")}) == runs)
        time.sleep(2 * ASKED_INTERVAL)
        meter, began = Meter(running.processes, servers), time.time()
        time.sleep(WINDOW)
        used, ended = meter.used(), time.time()
        late = _lateness(running, began, ended)
    seconds = ended - began
    return Waiting(
        runs=runs,
        looks_per_second=len(late) / seconds,
        late_percent_p50=100 * quantile(late, 0.5),
        late_percent_p99=100 * quantile(late, 0.99),
        worker_cpu_percent=100 * used["workers"] / seconds,
        postgres_cpu_percent=100 * used["postgres"] / seconds,
    )


def _lateness(running: Product, began: float, ended: float) -> list[float]:
    """By which part of the asked time each look of the window came late, counted from the look before it."""
    looks: dict[str, list[float]] = {}
    for fact in running.facts.read("looked"):
        looks.setdefault(fact.subject, []).append(fact.at)
    return [
        (after - before - ASKED_INTERVAL) / ASKED_INTERVAL
        for times in looks.values()
        for before, after in pairwise(times)
        if began <= after <= ended
    ]
