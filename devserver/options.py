"""The options of the development server."""

from dataclasses import dataclass
from pathlib import Path

DATA = Path(".tenantry")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """The options of one start."""

    data: Path = DATA
    port: int = 8000
    workers: int = 2
    pace: float = 0.0
    world: str = "real"
    faults: bool = False

    @property
    def worker_processes(self) -> int:
        """The number of worker processes. Simulated resources are in the memory of one process, so then it is one."""
        return 1 if self.world == "simulated" else self.workers
