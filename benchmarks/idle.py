"""What a worker process costs while no run is due."""

import statistics
import time
from dataclasses import dataclass

from benchmarks.cpu import Meter
from benchmarks.processes import serving
from benchmarks.product import WORKERS, product
from benchmarks.servers import Servers

WINDOW = 10.0
"""Seconds."""

SETTLING = 3.0
"""Seconds from the end of the warm-up to the window: the last mails and absence checks."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What one idle worker process costs, and the memory that it and the API use once they have worked."""

    cpu_percent: float
    commands_per_second: float
    statements_per_second: float
    commits_per_second: float
    worker_megabytes: float
    api_megabytes: float


def measure_idle_cost(servers: Servers) -> Idle:
    """Two workers after a little work, with no run that is due."""
    with product(servers) as running:
        running.warm_up()
        time.sleep(SETTLING)
        meter, commands, began = Meter(running.processes, servers), servers.commands(), time.monotonic()
        time.sleep(WINDOW)
        seconds = time.monotonic() - began
        cpu, commands = meter.used()["workers"], servers.commands() - commands - 1
        with servers.counting() as counted:
            began = time.monotonic()
            time.sleep(WINDOW / 2)
            counting = time.monotonic() - began
        resident = statistics.median(process.memory_info().rss for process in running.processes)
        with serving() as (_, api):
            api_resident = api.memory_info().rss
    return Idle(
        cpu_percent=100 * cpu / seconds / WORKERS,
        commands_per_second=commands / seconds / WORKERS,
        statements_per_second=counted.statements / counting / WORKERS,
        commits_per_second=counted.commits / counting / WORKERS,
        worker_megabytes=resident / 1e6,
        api_megabytes=api_resident / 1e6,
    )
