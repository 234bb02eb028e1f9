"""The services that all operations of this process share."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakValueDictionary

from anyio import to_thread

from provisioning import feed_marks
from provisioning.actors import PLATFORM
from runtime.connection_shares import ConnectionShares, Lane
from runtime.database import Database
from runtime.feed import Feed
from runtime.loop_share import LoopShare
from runtime.settings import Settings
from runtime.shared_reads import SharedReads
from schema.context import Context
from server.auth.authenticator import Authenticator
from server.auth.tokens import AuthResult
from server.limits.concurrency import HolderLimit
from server.limits.sockets import SocketLimits

MAX_REQUESTS_PER_CALLER = 100
MAX_REQUESTS_PER_ORGANISATION = 200
"""Requests of ``/graphql`` that are answered at once in this process. More than a browser's ten tabs send."""


@dataclass(frozen=True)
class Services:
    """Created once per process and passed to every operation."""

    settings: Settings
    database: Database
    feed: Feed
    connections: ConnectionShares
    authenticator: Authenticator
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    starts: WeakValueDictionary[UUID, asyncio.Semaphore] = field(default_factory=WeakValueDictionary)
    """By caller's id: limits how many of the caller's websocket operations start at the same time."""
    loop_share: LoopShare = field(default_factory=LoopShare)
    requests: HolderLimit = field(
        default_factory=lambda: HolderLimit(
            "requests at once", per_caller=MAX_REQUESTS_PER_CALLER, per_organisation=MAX_REQUESTS_PER_ORGANISATION
        )
    )
    shared_reads: SharedReads = field(default_factory=SharedReads)
    operations: HolderLimit = field(init=False)
    sockets: SocketLimits = field(init=False)

    def __post_init__(self) -> None:
        operations = HolderLimit(
            "running operations",
            per_caller=self.settings.operations_per_caller,
            per_organisation=self.settings.operations_per_organisation,
        )
        sockets = SocketLimits(
            strangers_per_address=self.settings.sockets_per_address,
            per_caller=self.settings.sockets_per_caller,
            per_organisation=self.settings.sockets_per_organisation,
        )
        object.__setattr__(self, "operations", operations)  # the class is frozen
        object.__setattr__(self, "sockets", sockets)

    def context(self, auth: AuthResult, request_id: str) -> Context:
        """Create the context of one operation."""
        context = Context(
            auth.identity,
            self.settings,
            self.database,
            self.feed,
            self.connections,
            self.loop_share,
            request_id,
            self.shared_reads,
        )
        self.loop_share.note(context.holder.organisation)
        return context

    async def read_marks(self, ids: Collection[UUID]) -> Mapping[str, str | None]:
        """The marks of these tenants and organisations, which only this process sees."""
        await self.connections.acquire(Lane.READ, PLATFORM.holder)
        try:
            return await to_thread.run_sync(self.database.execute, feed_marks.read_marks, ids)
        finally:
            self.connections.release(Lane.READ, PLATFORM.holder)
