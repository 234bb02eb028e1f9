"""Shares the event loop out: long work runs in slices, those of organisations by turns, and rests for other work."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

SLICE = 0.015
SHARED_SLICE = 0.004
"""Seconds of work in one iteration of the event loop, after which long work waits for its turn. The second is for times
in which several organisations are active."""

ACTIVE_FOR = 1.0
"""Seconds for which an organisation counts as active after it began an operation."""


WAITERS_PER_SLICE = 8
"""The most parts of operations that begin in one slice. Those for which it is too short wait again."""

STARTING = 16
"""Iterations of the event loop in which a part that had its turn begins what it reads. Each list, and each object with
several such fields, between the part and a read takes one, and a data loader three."""


class LoopShare:
    """Turns on one event loop. Work asks ``exhausted`` as it goes on, and waits for ``turn`` when it is."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._waiting: OrderedDict[UUID, deque[asyncio.Future[None]]] = OrderedDict()
        self._granting = False
        self._active: dict[UUID, float] = {}
        self._slice = SLICE

    def note(self, organisation: UUID) -> None:
        """Note that an organisation begins an operation."""
        now = time.monotonic()
        self._active[organisation] = now
        if len(self._active) > 1:
            self._active = {key: at for key, at in self._active.items() if now - at < ACTIVE_FOR}
        self._slice = SLICE if len(self._active) == 1 else min(SLICE, SHARED_SLICE)

    def others_active(self, organisation: UUID) -> bool:
        """Whether another organisation began an operation within ACTIVE_FOR."""
        now = time.monotonic()
        return any(now - at < ACTIVE_FOR for key, at in self._active.items() if key != organisation)

    def exhausted(self) -> bool:
        """Whether the slice of this iteration of the loop is used up."""
        now = time.thread_time()
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._end_iteration)
            return False
        return now - self._began > self._slice

    async def turn(self, organisation: UUID) -> None:
        """Return when the slice is not used up. Organisations take turns."""
        while self.exhausted():
            granted = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(organisation, deque()).append(granted)
            if not self._granting:
                self._granting = True
                asyncio.get_running_loop().call_soon(self._grant)
            await granted

    def _end_iteration(self) -> None:
        self._began = None

    def _grant(self) -> None:
        """Grant the next slice, and see after it when to grant another one."""
        organisation = next(iter(self._waiting), None)
        if organisation is None:
            self._granting = False
            return
        for granted in self._next(organisation):
            granted.set_result(None)
        # The slice runs in the next iteration, and this call after it.
        asyncio.get_running_loop().call_soon(self._rest, organisation, time.thread_time())

    def _rest(self, organisation: UUID, began: float) -> None:
        """Grant the next slice at once, or after a rest as long as the last one if another organisation is active."""
        loop = asyncio.get_running_loop()
        if self.others_active(organisation):
            loop.call_later(time.thread_time() - began, self._grant)
        else:
            loop.call_soon(self._grant)

    def _next(self, organisation: UUID) -> Iterator[asyncio.Future[None]]:
        """The first waiters of an organisation, which is the last one then. More than one, because many are short."""
        waiting = self._waiting.pop(organisation)
        for _ in range(min(len(waiting), WAITERS_PER_SLICE)):
            granted = waiting.popleft()
            if not granted.done():  # its work was cancelled
                yield granted
        if waiting:
            self._waiting[organisation] = waiting


class Parts:
    """The parts of one operation that wait for their turns. What the operation reads waits for them.

    Otherwise each part would be read for by itself, with as many statements as there are slices.
    """

    def __init__(self, loop_share: LoopShare, organisation: UUID) -> None:
        self._loop_share = loop_share
        self._organisation = organisation
        self._waiting = 0
        self._had_turns = False
        self._none_waits = asyncio.Event()

    async def take_turn(self) -> None:
        """Let other work of the process run first if this operation, or others, have held the event loop for long."""
        if self._loop_share.exhausted():
            with self.waiting():
                await self._loop_share.turn(self._organisation)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A part of the operation waits for its turn in the block."""
        self._waiting += 1
        self._none_waits.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            self._had_turns = True
            if not self._waiting:
                self._none_waits.set()

    async def complete(self) -> None:
        """Return when no part waits for its turn, and those that had one have begun what they read.

        Without turns since the last call this returns at once. Turns do not depend on reads, so it does not wait for
        itself.
        """
        quiet = 0
        while self._waiting or (self._had_turns and quiet < STARTING):
            if self._waiting:
                await self._none_waits.wait()
                quiet = 0
            else:
                await asyncio.sleep(0)
                quiet += 1
        self._had_turns = False
