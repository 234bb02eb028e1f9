"""What the operations of this process share."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakValueDictionary

from anyio import CapacityLimiter

from runtime.database import Database
from runtime.feed import Feed
from runtime.settings import Settings
from schema.context import Context
from server.auth import Pass
from server.doorkeeper import Doorkeeper
from server.tally import Tally

SUBSCRIPTIONS_PER_CALLER = 200
"""Over all its sockets and streams to this process."""


@dataclass(frozen=True)
class Services:
    """What is made once, and handed to every operation."""

    settings: Settings
    database: Database
    feed: Feed
    limiter: CapacityLimiter
    doorkeeper: Doorkeeper
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    beginnings: WeakValueDictionary[UUID, asyncio.Semaphore] = field(default_factory=WeakValueDictionary)
    """By caller, how many of its operations on sockets begin now."""
    subscriptions: Tally = field(default_factory=lambda: Tally(SUBSCRIPTIONS_PER_CALLER, "operations under way"))

    def context(self, shown: Pass, request_id: str) -> Context:
        """A context for one operation."""
        return Context(shown.identity, self.settings, self.database, self.feed, self.limiter, request_id)
