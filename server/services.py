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
from server.auth.authenticator import Authenticator
from server.auth.tokens import AuthResult
from server.limits.concurrency import ConcurrencyLimit

SUBSCRIPTIONS_PER_CALLER = 200
"""Over all its sockets and streams to this process."""


@dataclass(frozen=True)
class Services:
    """What is made once, and handed to every operation."""

    settings: Settings
    database: Database
    feed: Feed
    limiter: CapacityLimiter
    authenticator: Authenticator
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    beginnings: WeakValueDictionary[UUID, asyncio.Semaphore] = field(default_factory=WeakValueDictionary)
    """By caller, how many of its operations on sockets begin now."""
    subscriptions: ConcurrencyLimit = field(
        default_factory=lambda: ConcurrencyLimit(SUBSCRIPTIONS_PER_CALLER, "operations under way")
    )

    def context(self, auth: AuthResult, request_id: str) -> Context:
        """A context for one operation."""
        return Context(auth.identity, self.settings, self.database, self.feed, self.limiter, request_id)
