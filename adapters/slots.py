"""How many calls one adapter gets at once from this process. Some of the places are kept free for undoing."""

import threading
from contextvars import ContextVar

from provisioning.ports import Patience

LOOK_EVERY = 0.05
"""Seconds between two looks for a free place."""


class Slot:
    """The place of one call: taken while the call is in use, and while a thread works that it left behind."""

    def __init__(self, *, undoes: bool) -> None:
        self.undoes = undoes
        self.in_use = True
        self._left_behind: list[threading.Thread] = []

    def cover(self, thread: threading.Thread) -> None:
        """Stay taken until this thread has ended, too."""
        self._left_behind.append(thread)

    @property
    def taken(self) -> bool:
        """Whether the adapter is still being called from this place."""
        return self.in_use or any(thread.is_alive() for thread in self._left_behind)


class Cap:
    """At most so many calls at once. A quarter of the places, at least one, is never given to forward calls.

    So an undo finds a place however many steps wait for an adapter that is slow, and forward calls leave room for
    more than one of them: worker processes have about twice as many threads for steps as for compensations.
    """

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.forward_calls = calls - max(1, calls // 4)
        self._lock = threading.Lock()
        self._slots: list[Slot] = []

    def take(self, slot: Slot, patience: Patience) -> None:
        """Wait for a place. Raises what ``patience`` raises when the step is told to stop meanwhile."""
        while not self._taken_by(slot):
            patience.sleep(LOOK_EVERY)

    def under_way(self) -> int:
        """How many calls there are now."""
        with self._lock:
            return sum(slot.taken for slot in self._slots)

    def _taken_by(self, slot: Slot) -> bool:
        with self._lock:
            self._slots = [other for other in self._slots if other.taken]
            forward = sum(not other.undoes for other in self._slots)
            if len(self._slots) >= self.calls or (not slot.undoes and forward >= self.forward_calls):
                return False
            self._slots.append(slot)
            return True


current_slot: ContextVar[Slot | None] = ContextVar("current_slot", default=None)
"""The place of the call that this thread is making, for whoever makes it on another thread."""
