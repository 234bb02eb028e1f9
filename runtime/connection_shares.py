"""Shares a process's database connections out among callers: by lanes, and in each lane by turns of organisations."""

import asyncio
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

WAIT_TIMEOUT = 5.0
"""Seconds that an operation waits for a connection before it is refused: less than the timeout of an operation."""


class Lane(IntEnum):
    """What a connection is for. A lane of a lower number is served first, and has places that no later one can take."""

    CANCEL = 0
    COMMAND = 1
    READ = 2


@dataclass(frozen=True, slots=True)
class Holder:
    """The caller that holds a connection. ``organisation`` is its own id for a caller without one."""

    caller: UUID
    organisation: UUID


class NoConnection(Exception):
    """No connection became free in time. ``own``: the caller or its organisation holds its whole part already."""

    def __init__(self, lane: Lane, *, own: bool) -> None:
        super().__init__(f"no connection for a {lane.name.lower()} within {WAIT_TIMEOUT:.0f} s")
        self.lane = lane
        self.own = own


@dataclass(slots=True, eq=False)
class _Waiter:
    holder: Holder
    granted: asyncio.Future[None]


@dataclass(slots=True)
class _Queue:
    """The waiters of one lane. Organisations take turns, and the callers of one organisation do too."""

    by_organisation: OrderedDict[UUID, OrderedDict[UUID, deque[_Waiter]]] = field(default_factory=OrderedDict)

    def add(self, waiter: _Waiter) -> None:
        callers = self.by_organisation.setdefault(waiter.holder.organisation, OrderedDict())
        callers.setdefault(waiter.holder.caller, deque()).append(waiter)

    def remove(self, waiter: _Waiter) -> None:
        organisation, caller = waiter.holder.organisation, waiter.holder.caller
        callers = self.by_organisation[organisation]
        callers[caller].remove(waiter)
        if not callers[caller]:
            del callers[caller]
        if not callers:
            del self.by_organisation[organisation]

    def passed_over(self, holder: Holder) -> None:
        """Put an organisation, and its caller, behind the others: their turn is over."""
        if callers := self.by_organisation.get(holder.organisation):
            self.by_organisation.move_to_end(holder.organisation)
            if holder.caller in callers:
                callers.move_to_end(holder.caller)


class ConnectionShares:
    """Places for ``total`` connections, at least 2. Used on one event loop.

    A fifth is kept for cancels, and a fifth for other commands: reads cannot take them. An organisation may hold half
    of the reads' places, and half of the places that are kept for its commands or cancels. A caller may hold a quarter
    of the reads' places.
    """

    def __init__(self, total: int) -> None:
        cancels = max(1, total // 5)
        commands = min(max(1, total // 5), total - cancels - 1)
        reads = total - cancels - commands
        self.total = total
        self._ceilings = {Lane.READ: reads, Lane.COMMAND: reads + commands, Lane.CANCEL: total}
        self._per_organisation = {
            Lane.READ: _part(reads, 2),
            Lane.COMMAND: _part(commands, 2),
            Lane.CANCEL: _part(cancels, 2),
        }
        self._per_caller = {**self._per_organisation, Lane.READ: _part(reads, 4)}
        self._used: Counter[Lane] = Counter()
        self._used_by: Counter[tuple[Lane, UUID]] = Counter()
        self._queues = {lane: _Queue() for lane in Lane}

    @property
    def used(self) -> int:
        """How many places are taken now."""
        return self._used.total()

    def most(self, lane: Lane) -> tuple[int, int]:
        """The most places of a lane that a caller, and an organisation, may hold."""
        return self._per_caller[lane], self._per_organisation[lane]

    async def acquire(self, lane: Lane, holder: Holder) -> None:
        """Take a place, in turn. Raises NoConnection when none became free within WAIT_TIMEOUT."""
        if not self._queues[lane].by_organisation and self._has_place(lane) and not self._holds_its_part(lane, holder):
            self._count(lane, holder, 1)
            return
        waiter = _Waiter(holder, asyncio.get_running_loop().create_future())
        self._queues[lane].add(waiter)
        self._grant()
        try:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await waiter.granted
        except BaseException as ended:
            self._withdraw(lane, waiter)
            if isinstance(ended, TimeoutError):
                raise NoConnection(lane, own=self._holds_its_part(lane, holder)) from None
            raise

    def release(self, lane: Lane, holder: Holder) -> None:
        """Give a place back."""
        self._count(lane, holder, -1)
        self._grant()

    def _withdraw(self, lane: Lane, waiter: _Waiter) -> None:
        """Stop waiting. A place that was granted in the same moment is given back."""
        if waiter.granted.done() and not waiter.granted.cancelled():
            self.release(lane, waiter.holder)
        else:
            self._queues[lane].remove(waiter)

    def _grant(self) -> None:
        """Give free places away, the first lanes first."""
        for lane in Lane:
            while self._has_place(lane) and (waiter := self._next(lane)):
                queue = self._queues[lane]
                queue.remove(waiter)
                queue.passed_over(waiter.holder)
                self._count(lane, waiter.holder, 1)
                waiter.granted.set_result(None)

    def _next(self, lane: Lane) -> _Waiter | None:
        """The next waiter that does not hold its part yet. Each caller's first one stands for all of its waiters."""
        for callers in self._queues[lane].by_organisation.values():
            for waiters in callers.values():
                waiter = next((one for one in waiters if not one.granted.done()), None)
                if waiter and not self._holds_its_part(lane, waiter.holder):
                    return waiter
        return None

    def _has_place(self, lane: Lane) -> bool:
        """Whether one more fits into this lane's places, and into those of the lanes before it."""
        return all(
            sum(self._used[later] for later in Lane if later >= before) < self._ceilings[before]
            for before in Lane
            if before <= lane
        )

    def _holds_its_part(self, lane: Lane, holder: Holder) -> bool:
        per_caller, per_organisation = self.most(lane)
        return (
            self._used_by[lane, holder.caller] >= per_caller
            or self._used_by[lane, holder.organisation] >= per_organisation
        )

    def _count(self, lane: Lane, holder: Holder, change: int) -> None:
        self._used[lane] += change
        for key in {(lane, holder.caller), (lane, holder.organisation)}:
            self._used_by[key] += change
            if not self._used_by[key]:
                del self._used_by[key]


def _part(places: int, divisor: int) -> int:
    """A part of so many places, rounded up, and at least one."""
    return max(1, -(-places // divisor))
