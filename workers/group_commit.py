"""Group commit: what many threads claim and record in two statements, as soon as the group before has ended."""

import threading
from collections.abc import Callable, Sequence
from uuid import UUID

from provisioning.engine import Change, Decided

ApplyTogether = Callable[[Sequence[Change]], Sequence[Decided | None]]

MOST = 32
"""Runs in one statement."""

GATHERING = 0.003
"""Seconds for which a group waits at most for the threads of the one before. If their steps are short, they come back
at once, and a run in a large group costs a third of one alone."""

LONGEST_WAIT = 2.0
"""Seconds until a thread gives up waiting for the thread that writes for it: its lease is not renewed meanwhile."""


class _Waiting:
    """A change that a thread wants. ``turn`` is set when it was applied, or when its thread has to apply it."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self.decided: Decided | None = None
        self.leads = False
        self.turn = threading.Event()


class GroupCommit:
    """Applies changes of runs. Any thread may call it.

    A thread that finds no other one at work applies its own at once, alone. Those that come meanwhile wait, and one of
    them then applies all: so a single run never waits, and many runs share the cost of two statements and of the disk.
    A group waits for a moment until it is as large as the one before.
    """

    def __init__(self, apply_together: ApplyTogether) -> None:
        self._apply_together = apply_together
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._expected = 1
        self._complete = threading.Event()

    def __call__(self, change: Change) -> Decided | None:
        """Apply the change. Returns what was decided; None if it was not applied, or if that is unknown."""
        own = _Waiting(change)
        # An interrupt may arrive at any line: then no other thread may wait for this one.
        try:
            with self._lock:
                own.leads, self._busy = not self._busy, True
                self._waiting.append(own)
                if len(self._waiting) >= self._expected:
                    self._complete.set()
            if not own.leads:
                own.turn.wait(LONGEST_WAIT)
            if own.leads:
                self._lead(own)
            return own.decided
        finally:
            self._leave(own)

    def _lead(self, own: _Waiting) -> None:
        """Apply what waits, the thread's own change first, and let the next thread lead."""
        group: list[_Waiting] = []
        try:
            self._gather()
            with self._lock:
                group, self._waiting = _of_different_runs(sorted(self._waiting, key=lambda one: one is not own))
            for one, decided in zip(group, self._apply([one.change for one in group]), strict=True):
                one.decided = decided
        finally:
            with self._lock:
                self._expected = len(group)
                self._hand_over()
            for one in group:
                one.turn.set()

    def _gather(self) -> None:
        """Wait for a moment until as many threads wait as in the group before."""
        with self._lock:
            if len(self._waiting) >= self._expected:
                return
            self._complete.clear()
        self._complete.wait(GATHERING)

    def _apply(self, group: Sequence[Change]) -> Sequence[Decided | None]:
        try:
            return self._apply_together(group)
        except Exception:  # noqa: BLE001  # each thread then applies its own, and sees the error itself
            return [None] * len(group)

    def _leave(self, own: _Waiting) -> None:
        """Forget a change that no thread has taken. Then another thread leads: the one that did may be lost.

        So may be one that has had its turn to lead and still waits. If it is not, it applies its own change alone.
        """
        with self._lock:
            if own in self._waiting:
                self._waiting = [one for one in self._waiting if one is not own and not one.leads]
                self._hand_over()

    def _hand_over(self) -> None:
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()


def _of_different_runs(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first changes of different runs, and the others: one statement changes a row once."""
    group: dict[UUID, _Waiting] = {}
    others = []
    for one in waiting:
        if one.change.run_id in group or len(group) == MOST:
            others.append(one)
        else:
            group[one.change.run_id] = one
    return list(group.values()), others
