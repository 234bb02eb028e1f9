"""Paces the replay of stored events to subscriptions: organisations take turns, and each rests between its events."""

import asyncio
import time
from collections import OrderedDict, deque
from uuid import UUID

from runtime.loop_share import LoopShare

MOST_AT_ONCE = 2
"""Events that are replayed at the same time in this process, each of another organisation."""

REST = 4
"""After an event its organisation rests this many times as long as the event took, while others are active."""


class Replays:
    """Turns for events that are replayed. A turn lasts while the event is read and executed, not while it is sent."""

    def __init__(self, loop_share: LoopShare) -> None:
        self._loop_share = loop_share
        self._waiting: OrderedDict[UUID, deque[asyncio.Future[None]]] = OrderedDict()
        self._began: dict[UUID, float] = {}
        """When the turn of an organisation began. It also has one while it rests."""

        self._resting: set[UUID] = set()

    async def begin(self, organisation: UUID) -> None:
        """Wait for a turn of the organisation; ``end`` gives it back."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organisation, deque()).append(granted)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.end(organisation)
            raise

    def end(self, organisation: UUID) -> None:
        """End the turn of the organisation. Its next one begins at once, or after a rest if others are active."""
        took = time.monotonic() - self._began[organisation]
        self._resting.add(organisation)
        if self._loop_share.others_active(organisation):
            asyncio.get_running_loop().call_later(REST * took, self._rested, organisation)
        else:
            self._rested(organisation)

    def _rested(self, organisation: UUID) -> None:
        self._resting.discard(organisation)
        del self._began[organisation]
        self._grant()

    def _grant(self) -> None:
        for organisation in list(self._waiting):
            if len(self._began) - len(self._resting) >= MOST_AT_ONCE:
                return
            if organisation not in self._began:
                self._grant_to(organisation)

    def _grant_to(self, organisation: UUID) -> None:
        waiting = self._waiting.pop(organisation)
        while waiting:
            granted = waiting.popleft()
            if not granted.done():  # its subscription was cancelled
                self._began[organisation] = time.monotonic()
                granted.set_result(None)
                break
        if waiting:
            self._waiting[organisation] = waiting
