"""Polls steps that wait, on threads of this process: no message, and no statement while nothing changes."""

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from itertools import count

from provisioning.claims import Claim
from provisioning.step_context import Journal, StopReason, StopSignal

logger = logging.getLogger(__name__)

TICKS_PER_WAIT = 20
"""Polls are due at multiples of a twentieth of their wait, so that a thread that wakes finds many of them."""

SHORTEST_TICK = 0.001
"""Seconds."""

HELP_AFTER = 0.01
"""Seconds after which another thread helps with the polls that are due: an external system may be slow to answer."""

HANGS_AFTER = 60.0
"""Seconds after a stop signal from which the thread of a poll that has not ended is replaced by another, up to as many
as there are threads. The lease of its wait has ended by then."""

MAX_KEPT = 5_000
"""Waits of one direction that a process keeps. Further ones give their lease back, and are due without an owner."""


class Place(Enum):
    """Where a wait is while no poll it is under way."""

    PARKED = auto()
    """In the heap: not due, or urgent and about to be called."""
    DUE = auto()
    HURRIED = auto()
    """Due, with a stop signal that is set."""


@dataclass(eq=False, slots=True)
class KeptWait:
    """A claimed move that waits for its next poll. Its lease is renewed like that of a step that is performed."""

    claim: Claim
    journal: Journal
    stop_signal: StopSignal
    due: float = field(default=0.0, init=False)
    """When the next poll is due (``time.monotonic``), in seconds; 0 for at once."""
    place: Place | None = field(default=None, init=False)
    """Where it is; None while it is polled."""

    @property
    def timed_out(self) -> bool:
        """Whether the attempt has had all of its time."""
        return self.stop_signal.reason is StopReason.TIMED_OUT


class KeptWaits:
    """The waits of one direction. Any thread may call it; its own threads begin with the first wait.

    ``poll`` makes one poll and returns the time until the next one; None if the wait has ended.
    """

    def __init__(self, name: str, poll: Callable[[KeptWait], timedelta | None], threads: int) -> None:
        self._name = name
        self._poll = poll
        self._most_threads = threads
        self._lock = threading.RLock()
        # One condition for each kind of thread that waits: a wake-up for one cannot be lost to another.
        self._earlier = threading.Condition(self._lock)
        self._work = threading.Condition(self._lock)
        self._all_ended = threading.Condition(self._lock)
        self._numbers = count()
        self._parked: list[tuple[float, int, KeptWait]] = []
        # Of a wait that was urgent while it was due, an entry stays in ``_due``, which counts no more.
        self._due: deque[KeptWait] = deque()
        self._urgent: deque[KeptWait] = deque()
        self._polled: set[KeptWait] = set()
        self._kept: set[KeptWait] = set()
        self._threads = self._idle = 0
        self._watching = self._closed = self._reserve_runs = self._short_of_threads = False
        self._wakes_at = 0.0

    @property
    def has_room(self) -> bool:
        """Whether one more wait may be kept."""
        return len(self._kept) < MAX_KEPT and not self._closed

    def keep(self, wait: KeptWait, after: timedelta) -> None:
        """Poll it after this time, and then again until it has ended. At once if its stop signal is set.

        Raises RuntimeError, and keeps nothing, if the process cannot start the first thread.
        """
        wait.stop_signal.on_set = lambda: self._expedite(wait)
        with self._lock:
            if not self._watching:
                self._start(self._watch)
                self._watching = True
            self._park(wait, after)
            # An interrupt may arrive at any line: what counts will be polled, so that ``close`` does not wait in vain.
            self._kept.add(wait)

    def close(self, timeout: float) -> None:
        """Wait until every wait has ended, at most ``timeout`` seconds, and end the threads."""
        with self._lock:
            self._all_ended.wait_for(lambda: not self._kept, max(0.0, timeout))
            self._closed = True
            self._earlier.notify_all()
            self._work.notify_all()

    def _start(self, run: Callable[[], None]) -> None:
        threading.Thread(target=run, name=self._name, daemon=True).start()

    def _park(self, wait: KeptWait, after: timedelta) -> None:
        now, seconds = time.monotonic(), after.total_seconds()
        tick = max(seconds / TICKS_PER_WAIT, SHORTEST_TICK)
        due = now + seconds
        self._park_until(wait, 0.0 if wait.stop_signal.reason else due - due % tick + tick)

    def _park_until(self, wait: KeptWait, due: float) -> None:
        wait.due, wait.place = due, Place.PARKED
        heapq.heappush(self._parked, (due, next(self._numbers), wait))
        if due < self._wakes_at:
            self._earlier.notify()

    def _expedite(self, wait: KeptWait) -> None:
        """Poll it now, before all that is only due: its stop signal was set."""
        with self._lock:
            if wait.place is Place.DUE or (wait.place is Place.PARKED and wait.due):
                self._park_until(wait, 0.0)

    def _watch(self) -> None:
        """Wait for what is due next, and wake a thread for it."""
        with self._lock:
            while not self._closed:
                now = time.monotonic()
                self._take_due(now)
                if self._due or self._urgent:
                    # What has to stop is recorded by many threads together: in one statement, as a group.
                    self._call_threads(max(1, len(self._urgent)))
                    pause: float | None = HELP_AFTER
                else:
                    pause = self._parked[0][0] - now if self._parked else None
                self._wakes_at = float("inf") if pause is None else now + pause
                self._earlier.wait(pause)

    def _take_due(self, now: float) -> None:
        while self._parked and self._parked[0][0] <= now:
            due, _, wait = heapq.heappop(self._parked)
            if wait.place is not Place.PARKED or wait.due != due:
                continue  # it was urgent: another entry stands for it
            if due:
                wait.place = Place.DUE
                self._due.append(wait)
            else:
                wait.place = Place.HURRIED
                self._urgent.append(wait)

    def _call_threads(self, wanted: int) -> None:
        self._work.notify(wanted)
        most = self._most_threads + min(self._hanging(), self._most_threads)
        missing = wanted - self._idle
        try:
            for _ in range(min(missing, most - self._threads)):
                self._start(self._poll_due)
                self._threads += 1
                missing -= 1
            if missing > 0 and self._urgent and not self._reserve_runs:
                self._start(self._poll_urgent)
                self._reserve_runs = True
        except RuntimeError:
            # The threads that run go on, and the next tick tries again.
            if not self._short_of_threads:
                logger.exception("no thread for polls of steps that wait could be started")
            self._short_of_threads = True
        else:
            self._short_of_threads = False

    def _hanging(self) -> int:
        if self._threads < self._most_threads:
            return 0
        return sum(wait.stop_signal.ignored_for(HANGS_AFTER) for wait in self._polled)

    def _poll_due(self) -> None:
        """Make the polls that are due, one after the other."""
        while (wait := self._next()) is not None:
            self._make_poll(wait)

    def _poll_urgent(self) -> None:
        """Make those of waits that have to stop, while there are any: all other threads may wait for slow answers."""
        while True:
            with self._lock:
                wait = self._take_next(hurried_only=True)
                if wait is None:
                    self._reserve_runs = False
                    return
            self._make_poll(wait)

    def _make_poll(self, wait: KeptWait) -> None:
        after = self._poll_safely(wait)
        with self._lock:
            self._polled.discard(wait)
            if after is not None:
                self._park(wait, after)
                return
            self._kept.discard(wait)
            if not self._kept:
                self._all_ended.notify_all()

    def _next(self) -> KeptWait | None:
        with self._lock:
            while (wait := self._take_next()) is None:
                if self._closed:
                    return None
                self._idle += 1
                try:
                    self._work.wait()
                finally:
                    self._idle -= 1
            return wait

    def _take_next(self, *, hurried_only: bool = False) -> KeptWait | None:
        if self._urgent:
            wait = self._urgent.popleft()
        elif hurried_only:
            return None
        else:
            while self._due and self._due[0].place is not Place.DUE:
                self._due.popleft()
            if not self._due:
                return None
            wait = self._due.popleft()
        wait.place = None
        self._polled.add(wait)
        return wait

    def _poll_safely(self, wait: KeptWait) -> timedelta | None:
        try:
            return self._poll(wait)
        except BaseException:  # also SystemExit of a step: this thread polls the waits of other runs
            # Nothing was recorded: the lease ends, and another worker goes on.
            logger.exception("polling a step that waits failed", extra={"run": wait.claim.run_id})
            return None
