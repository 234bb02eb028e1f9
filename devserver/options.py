"""What a person may ask of the development server."""

from dataclasses import dataclass
from pathlib import Path

DATA = Path(".tenantry")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """One start's wishes."""

    data: Path = DATA
    port: int = 8000
    workers: int = 2
    pace: float = 0.0
    world: str = "real"

    @property
    def worker_processes(self) -> int:
        """The simulated world lives in one process' memory, so one process has to do all the work on it."""
        return 1 if self.world == "simulated" else self.workers
