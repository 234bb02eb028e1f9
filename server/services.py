"""The services that all operations of this process share."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread

from provisioning import feed_marks
from runtime.database import Database
from runtime.feed import Feed
from runtime.settings import Settings
from runtime.shared_reads import SharedReads
from schema.context import Context
from server.auth.authenticator import Authenticator
from server.auth.tokens import AuthResult
from server.limits.concurrency import ConcurrencyLimit
from server.limits.sockets import SocketLimits

MAX_OPERATIONS_PER_CALLER = 200
"""Running at once, over all of a caller's websockets and streams to this process."""


@dataclass(frozen=True)
class Services:
    """Created once per process and passed to every operation."""

    settings: Settings
    database: Database
    feed: Feed
    limiter: CapacityLimiter
    authenticator: Authenticator
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    starts: WeakValueDictionary[UUID, asyncio.Semaphore] = field(default_factory=WeakValueDictionary)
    """By caller's id: limits how many of the caller's websocket operations start at the same time."""
    operations: ConcurrencyLimit = field(
        default_factory=lambda: ConcurrencyLimit(MAX_OPERATIONS_PER_CALLER, "running operations")
    )

    shared_reads: SharedReads = field(default_factory=SharedReads)
    sockets: SocketLimits = field(init=False)

    def __post_init__(self) -> None:
        sockets = SocketLimits(
            strangers_per_address=self.settings.sockets_per_address, per_caller=self.settings.sockets_per_caller
        )
        object.__setattr__(self, "sockets", sockets)  # the class is frozen

    def context(self, auth: AuthResult, request_id: str) -> Context:
        """Create the context of one operation."""
        return Context(
            auth.identity, self.settings, self.database, self.feed, self.limiter, request_id, self.shared_reads
        )

    async def read_marks(self, ids: Collection[UUID]) -> Mapping[str, str | None]:
        """The marks of these tenants and organisations, which only this process sees."""
        return await to_thread.run_sync(self.database.execute, feed_marks.read_marks, ids, limiter=self.limiter)
