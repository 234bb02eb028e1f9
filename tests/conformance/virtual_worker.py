"""Workers of a simulation: each makes one move on a thread of its own, and halts wherever the story wants it to."""

import threading
from collections.abc import Callable
from uuid import UUID

from provisioning.claims import Claim
from provisioning.moves import Backward, Forward
from workers.running_steps import RunningSteps

PATIENCE = 30.0
"""Seconds until a thread that neither halts nor ends counts as hanging."""

TO_THE_END = -1


class Killed(BaseException):
    """What a killed owner meets: nothing catches it, so nothing is recorded after it, as after SIGKILL."""


class Owner(threading.Thread):
    """Halts at its n-th breath. Breaths are the moments between its transactions and its calls outside.

    Exactly one thread runs at a time, so a story told twice is the same story.
    """

    def __init__(self, name: str, run_id: UUID, move: Forward | Backward, work: Callable[["Owner"], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.run_id = run_id
        self.move = move
        self.live = RunningSteps()
        self.claim: Claim | None = None
        self.recorded = False
        self.paused = False
        self.over = False
        self.where = "its start"
        self.escaped: BaseException | None = None
        self._work = work
        self._breaths = TO_THE_END
        self._order: BaseException | None = None
        self._halted = threading.Event()
        self._go = threading.Event()

    def go_on(self, breaths: int = TO_THE_END, order: BaseException | None = None) -> None:
        """Run until it halts after so many breaths, or ends. ``order`` is raised where it halted."""
        self._breaths, self._order = breaths, order
        self._halted.clear()
        if self.is_alive():
            self._go.set()
        else:
            self.start()
        assert self._halted.wait(PATIENCE), f"{self.name} hangs after {self.where}"

    def run(self) -> None:
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001  # the story judges what may escape a worker
            self.escaped = error
        self.over = True
        self._halted.set()

    def breathe(self, where: str) -> None:
        """A moment at which it may be halted, killed or interrupted."""
        self.where = where
        if self._breaths == 0:
            self._halt()
        else:
            self._breaths = max(self._breaths - 1, TO_THE_END)

    def _halt(self) -> None:
        self.paused = True
        self._go.clear()
        self._halted.set()
        self._go.wait()
        if self._order is not None:
            raise self._order


def breathe(where: str) -> None:
    """Let the owner on whose thread this is called halt here; nothing on other threads."""
    if owner := current():
        owner.breathe(where)


def current() -> Owner | None:
    """The owner on whose thread this is called."""
    thread = threading.current_thread()
    return thread if isinstance(thread, Owner) else None
