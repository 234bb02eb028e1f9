"""The kept waits of a virtual worker, which it polls on its own thread when the simulation lets time pass."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from tests.conformance.virtual_worker import Killed
from workers.kept_waits import KeptWait, KeptWaits, Place
from workers.running_steps import RunningSteps

POLLS: Counter[str] = Counter()
"""How many waits were kept and polled in this process, by direction: a proof of kept waits needs some."""

NOW, LATER = 0.0, float("inf")
"""Until when waits are due: those that have to stop are due at once, all others when time has passed."""


class VirtualWaits(KeptWaits):
    """The product's kept waits without its threads. They end with their worker."""

    def __init__(self, poll: Callable[[KeptWait], timedelta | None]) -> None:
        super().__init__("polls of a virtual worker", self._poll_unless_killed, threads=1)
        self._poll_once = poll
        self._killed: Killed | None = None

    def keep(self, wait: KeptWait, after: timedelta) -> None:
        POLLS[f"kept {_direction(wait)}"] += 1
        super().keep(wait, after)

    def make_polls(self, until: float) -> None:
        """Make the polls that are due until then, each once. Raises Killed if the worker is killed in one."""
        with self._lock:
            self._take_due(until)
        while (wait := self._take_next()) is not None:
            POLLS[f"polled {_direction(wait)}"] += 1
            self._make_poll(wait)
            if self._killed is not None:
                raise self._killed

    @property
    def parked(self) -> set[KeptWait]:
        """Those that will be polled."""
        return {wait for due, _, wait in self._parked if wait.place is Place.PARKED and wait.due == due}

    def check_kept(self, name: str) -> None:
        """V8: what is kept is polled. To be called between two polls."""
        assert self._kept <= self.parked, f"V8: {name} keeps a wait that it never polls"

    def check_leases(self, name: str, running_steps: RunningSteps) -> None:
        """V8: a lease is renewed exactly as long as its wait is polled. To be called between two polls."""
        renewed = {step.claim.token for step in running_steps.all_steps()}
        polled = {wait.claim.token for wait in self.parked}
        assert renewed <= polled, f"V8: {name} renews a lease, and makes no move and no poll with it"
        stopping = {wait.claim.token for wait in self.parked if wait.stop_signal.reason}
        assert polled - stopping <= renewed, f"V8: {name} polls with a lease that it does not renew"

    def _start(self, run: Callable[[], None]) -> None:
        """Start no thread."""

    def _poll_unless_killed(self, wait: KeptWait) -> timedelta | None:
        # The product goes on after any error of a poll. A killed process does not.
        try:
            return self._poll_once(wait)
        except Killed as killed:
            self._killed = killed
            return None


def _direction(wait: KeptWait) -> str:
    return type(wait.claim.move).__name__.lower()
