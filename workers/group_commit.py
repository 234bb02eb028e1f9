"""Group commit: the records of many threads in one statement and one commit, as soon as the one before has ended."""

import threading
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from provisioning.position import Position
from provisioning.transition import Transition

WriteTogether = Callable[[Sequence[Transition]], Sequence[Position | None]]

MOST = 32
"""Transitions in one statement."""

LONGEST_WAIT = 10.0
"""Seconds until a thread gives up waiting for the thread that writes for it."""


class _Waiting:
    """A transition of a thread. ``turn`` is locked until it was written, or until its thread has to write."""

    def __init__(self, transition: Transition) -> None:
        self.transition = transition
        self.position: Position | None = None
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()


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
        with self._lock:
            own.leads, self._busy = not self._busy, True
            self._waiting.append(own)
        if not own.leads and not own.turn.acquire(timeout=LONGEST_WAIT):
            self._give_up(own)
        if own.leads:
            self._lead()
        return own.position

    def _lead(self) -> None:
        """Write what waits, and let the next thread lead."""
        with self._lock:
            group, self._waiting = _of_different_tenants(self._waiting)
        try:
            for one, position in zip(group, self._write([one.transition for one in group]), strict=True):
                one.position = position
        finally:
            with self._lock:
                self._busy = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].turn.release()
            for one in group:
                one.turn.release()

    def _write(self, group: Sequence[Transition]) -> Sequence[Position | None]:
        try:
            return self._write_together(group)
        except SQLAlchemyError:
            return [None] * len(group)  # each thread then writes its own, and sees the error itself

    def _give_up(self, own: _Waiting) -> None:
        """Stop waiting for a thread that was lost, so that the next one leads; unless this one leads just now."""
        with self._lock:
            if own in self._waiting and not own.leads:
                self._waiting.remove(own)
                self._busy = False


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
