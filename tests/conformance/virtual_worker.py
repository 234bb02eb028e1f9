"""Workers of a simulation: each makes one move on its own thread, with halts at failpoints that the test chooses."""

import threading
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from provisioning.moves import Backward, Forward
from workers.running_steps import RunningSteps

TIMEOUT = 30.0
"""Seconds after which a thread that has neither halted nor ended counts as hanging."""

TO_THE_END = -1


class Killed(BaseException):
    """Raised in a killed worker: nothing catches it, so nothing is recorded after it, as after SIGKILL."""


class Taken(NamedTuple):
    """The lease of a run that a worker has taken for a move."""

    run_id: UUID
    token: UUID
    backward: bool


class VirtualWorker(threading.Thread):
    """Halts at its n-th failpoint. Failpoints are before and after each transaction and each external call.

    Only one thread runs at a time, so the same choices always give the same sequence of events.
    """

    def __init__(
        self, name: str, run_id: UUID, move: Forward | Backward, work: Callable[["VirtualWorker"], None]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.run_id = run_id
        self.move = move
        self.running_steps = RunningSteps()
        self.claim: Taken | None = None
        self.recorded = False
        self.paused = False
        self.waits = False
        """Whether it is halted between two polls of what it keeps."""
        self.ended = False
        self.where = "its start"
        self.escaped: BaseException | None = None
        self._work = work
        self.failpoints_left = TO_THE_END
        self._error: BaseException | None = None
        self._halted = threading.Event()
        self._go = threading.Event()

    def resume(self, failpoints: int = TO_THE_END, error: BaseException | None = None) -> None:
        """Run until the worker has passed this many failpoints and halts at the next, or ends.

        ``error`` is raised at the failpoint where the worker halted.
        """
        self.failpoints_left, self._error = failpoints, error
        self._halted.clear()
        if self.is_alive():
            self._go.set()
        else:
            self.start()
        assert self._halted.wait(TIMEOUT), f"{self.name} hangs after {self.where}"

    def run(self) -> None:
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001  # the simulation decides which errors may leave a worker
            self.escaped = error
        self.ended = True
        self._halted.set()

    def failpoint(self, where: str) -> None:
        """Halt here if all failpoints before this one are passed. A halted worker can be killed or interrupted."""
        self.where = where
        if self.failpoints_left == 0:
            self._halt()
        else:
            self.failpoints_left = max(self.failpoints_left - 1, TO_THE_END)

    def wait(self) -> None:
        """Halt until the next poll. Also a failpoint: a worker may be killed here."""
        self.where, self.waits = "between two polls", True
        self._halt()
        self.waits = False

    def _halt(self) -> None:
        self.paused = True
        self._go.clear()
        self._halted.set()
        self._go.wait()
        if self._error is not None:
            raise self._error


def failpoint(where: str) -> None:
    """Let the worker of the current thread halt here. Does nothing on other threads."""
    if worker := current():
        worker.failpoint(where)


def current() -> VirtualWorker | None:
    """The worker of the current thread, None on other threads."""
    thread = threading.current_thread()
    return thread if isinstance(thread, VirtualWorker) else None
