"""The processor time of groups of processes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psutil

from benchmarks.servers import Servers


@dataclass
class Meter:
    """Measures the seconds of processor time that the workers, Postgres and the broker use from now on."""

    workers: Iterable[psutil.Process]
    servers: Servers
    _began: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._began = self._seconds()

    def used(self) -> dict[str, float]:
        """Seconds since the beginning, by group: ``workers``, ``postgres``, ``valkey``."""
        return {name: seconds - self._began[name] for name, seconds in self._seconds().items()}

    def _seconds(self) -> dict[str, float]:
        postgres = self.servers.processes["postgres"]
        return {
            "workers": sum(own_seconds(process) for process in self.workers),
            # Backends that have ended count as children that the postmaster has waited for.
            "postgres": own_seconds(postgres) + _ended_children(postgres) + sum(map(own_seconds, postgres.children())),
            "valkey": own_seconds(self.servers.processes["valkey"]),
        }


def own_seconds(process: psutil.Process) -> float:
    """The seconds of processor time that a process has used so far. Zero if it has ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _ended_children(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.children_user + times.children_system)
