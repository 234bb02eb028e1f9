"""Looks again at steps that wait, on threads of this process: no message, and no statement while nothing changes."""

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from provisioning.claims import Claim
from provisioning.step_context import Journal, StopReason, StopSignal

logger = logging.getLogger(__name__)

TICKS_PER_WAIT = 20
"""Looks are due at multiples of a twentieth of their wait, so that a thread that wakes finds many of them."""

SHORTEST_TICK = 0.001
"""Seconds."""

HELP_AFTER = 0.01
"""Seconds after which another thread helps with the looks that are due: an external system may be slow to answer."""

HANGS_AFTER = 60.0
"""Seconds after a stop signal from which the thread of a look that has not ended is replaced by another, up to as many
as there are threads. The lease of its wait has ended by then."""

MAX_KEPT = 5_000
"""Waits of one direction that a process keeps. Further ones give their lease back, and are due without an owner."""


@dataclass(eq=False, slots=True)
class KeptWait:
    """A claimed move that waits for its next look. Its lease is renewed like that of a step that is performed."""

    claim: Claim
    journal: Journal
    stop_signal: StopSignal
    due: float = field(default=0.0, init=False)
    """When the next look is due (``time.monotonic``), in seconds; 0 for at once."""
    parked: bool = field(default=False, init=False)
    """Whether it is in the heap: not due, and not looked at now."""

    @property
    def timed_out(self) -> bool:
        """Whether the attempt has had all of its time."""
        return self.stop_signal.reason is StopReason.TIMED_OUT


class Looks:
    """The waits of one direction. Any thread may call it; its own threads begin with the first wait.

    ``look`` makes one look and returns the time until the next one; None if the wait has ended.
    """

    def __init__(self, name: str, look: Callable[[KeptWait], timedelta | None], threads: int) -> None:
        self._name = name
        self._look = look
        self._most_threads = threads
        self._changed = threading.Condition()
        self._work = threading.Condition(self._changed._lock)  # type: ignore[attr-defined]  # noqa: SLF001  # one lock for both
        self._numbers = count()
        self._parked: list[tuple[float, int, KeptWait]] = []
        self._due: deque[KeptWait] = deque()
        self._looked_at: set[KeptWait] = set()
        self._kept = self._threads = self._idle = 0
        self._watching = self._closed = False
        self._wakes_at = 0.0

    @property
    def has_room(self) -> bool:
        """Whether one more wait may be kept."""
        return self._kept < MAX_KEPT and not self._closed

    def keep(self, wait: KeptWait, after: timedelta) -> None:
        """Look at it after this time, and then again until it has ended. At once if its stop signal is set."""
        wait.stop_signal.on_set = lambda: self._hurry(wait)
        with self._changed:
            self._kept += 1
            if not self._watching:
                self._watching = True
                self._start(self._watch)
            self._park(wait, after)

    def close(self, timeout: float) -> None:
        """Wait until every wait has ended, at most ``timeout`` seconds, and end the threads."""
        with self._changed:
            self._changed.wait_for(lambda: not self._kept, max(0.0, timeout))
            self._closed = True
            self._changed.notify_all()
            self._work.notify_all()

    def _start(self, run: Callable[[], None]) -> None:
        threading.Thread(target=run, name=self._name, daemon=True).start()

    def _park(self, wait: KeptWait, after: timedelta) -> None:
        now, seconds = time.monotonic(), after.total_seconds()
        tick = max(seconds / TICKS_PER_WAIT, SHORTEST_TICK)
        due = now + seconds
        self._park_until(wait, 0.0 if wait.stop_signal.reason else due - due % tick + tick)

    def _park_until(self, wait: KeptWait, due: float) -> None:
        wait.due, wait.parked = due, True
        heapq.heappush(self._parked, (due, next(self._numbers), wait))
        if due < self._wakes_at:
            self._changed.notify()

    def _hurry(self, wait: KeptWait) -> None:
        """Look at it now: its stop signal was set."""
        with self._changed:
            if wait.parked and wait.due:
                self._park_until(wait, 0.0)

    def _watch(self) -> None:
        """Wait for what is due next, and wake a thread for it."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                hurried = self._take_due(now)
                if self._due:
                    # What has to stop is recorded by many threads together: in one statement, as a group.
                    self._call_threads(max(1, hurried))
                    pause: float | None = HELP_AFTER
                else:
                    pause = self._parked[0][0] - now if self._parked else None
                self._wakes_at = float("inf") if pause is None else now + pause
                self._changed.wait(pause)

    def _take_due(self, now: float) -> int:
        """Take what is due. Returns how many of it were hurried."""
        hurried = 0
        while self._parked and self._parked[0][0] <= now:
            due, _, wait = heapq.heappop(self._parked)
            if not wait.parked or wait.due != due:
                continue  # it was hurried: another entry stands for it
            wait.parked = False
            if due:
                self._due.append(wait)
            else:
                self._due.appendleft(wait)
                hurried += 1
        return hurried

    def _call_threads(self, wanted: int) -> None:
        self._work.notify(wanted)
        most = self._most_threads + min(self._hanging(), self._most_threads)
        for _ in range(min(wanted - self._idle, most - self._threads)):
            self._threads += 1
            self._start(self._make_looks)

    def _hanging(self) -> int:
        if self._threads < self._most_threads:
            return 0
        return sum(wait.stop_signal.ignored_for(HANGS_AFTER) for wait in self._looked_at)

    def _make_looks(self) -> None:
        """Make the looks that are due, one after the other."""
        while (wait := self._next()) is not None:
            after = self._look_safely(wait)
            with self._changed:
                self._looked_at.discard(wait)
                if after is not None:
                    self._park(wait, after)
                    continue
                self._kept -= 1
                if not self._kept:
                    self._changed.notify_all()

    def _next(self) -> KeptWait | None:
        with self._changed:
            while not self._due:
                if self._closed:
                    return None
                self._idle += 1
                try:
                    self._work.wait()
                finally:
                    self._idle -= 1
            wait = self._due.popleft()
            self._looked_at.add(wait)
            return wait

    def _look_safely(self, wait: KeptWait) -> timedelta | None:
        try:
            return self._look(wait)
        except Exception:
            # Nothing was recorded: the lease ends, and another worker goes on.
            logger.exception("a look at a step that waits failed", extra={"run": wait.claim.run_id})
            return None
