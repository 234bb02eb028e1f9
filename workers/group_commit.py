"""Group commit: the records of many threads in one statement and one commit, as soon as the one before has ended."""

import threading
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from provisioning.position import Position
from provisioning.transition import Transition

WriteTogether = Callable[[Sequence[Transition]], Sequence[Position | None]]

MOST = 32
"""Transitions in one statement."""

LONGEST_WAIT = 2.0
"""Seconds until a thread gives up waiting for the thread that writes for it: its lease is not renewed meanwhile."""


class _Waiting:
    """A transition of a thread. ``turn`` is set when it was written, or when its thread has to write."""

    def __init__(self, transition: Transition) -> None:
        self.transition = transition
        self.position: Position | None = None
        self.leads = False
        self.turn = threading.Event()


class GroupCommit:
    """Writes transitions. Any thread may call it.

    A thread that finds no other one writing writes at once, alone. Those that come meanwhile wait, and one of them then
    writes for all: so a single run never waits, and many runs share the cost of a statement and of the disk.
    """

    def __init__(self, write_together: WriteTogether) -> None:
        self._write_together = write_together
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._busy = False

    def __call__(self, transition: Transition) -> Position | None:
        """Write the transition. Returns the position after it; None if it was not written, or if that is unknown."""
        own = _Waiting(transition)
        # An interrupt may arrive at any line: then no other thread may wait for this one.
        try:
            with self._lock:
                own.leads, self._busy = not self._busy, True
                self._waiting.append(own)
            if not own.leads:
                own.turn.wait(LONGEST_WAIT)
            if own.leads:
                self._lead(own)
            return own.position
        finally:
            self._leave(own)

    def _lead(self, own: _Waiting) -> None:
        """Write what waits, the thread's own transition first, and let the next thread lead."""
        group: list[_Waiting] = []
        try:
            with self._lock:
                group, self._waiting = _of_different_tenants(sorted(self._waiting, key=lambda one: one is not own))
            for one, position in zip(group, self._write([one.transition for one in group]), strict=True):
                one.position = position
        finally:
            with self._lock:
                self._hand_over()
            for one in group:
                one.turn.set()

    def _write(self, group: Sequence[Transition]) -> Sequence[Position | None]:
        try:
            return self._write_together(group)
        except SQLAlchemyError:
            return [None] * len(group)  # each thread then writes its own, and sees the error itself

    def _leave(self, own: _Waiting) -> None:
        """Forget a transition that no thread has taken. Then another thread leads: the one that did may be lost."""
        with self._lock:
            if own in self._waiting:
                self._waiting.remove(own)
                self._hand_over()

    def _hand_over(self) -> None:
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()


def _of_different_tenants(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first transitions of different tenants, and the others. One statement changes the row of a tenant once."""
    group: dict[object, _Waiting] = {}
    others = []
    for one in waiting:
        tenant_id = one.transition.position.tenant.id
        if tenant_id in group or len(group) == MOST:
            others.append(one)
        else:
            group[tenant_id] = one
    return list(group.values()), others
