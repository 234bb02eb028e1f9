"""The context of an operation, which every resolver receives."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import strawberry
from sqlmodel import Session

from access import support_access_log
from access.permissions import Identity, Permission
from models import ActorKind
from provisioning import anchors
from provisioning.actors import Actor
from runtime.cancellable_queries import CancellableQuery, run_in_thread
from runtime.connection_shares import ConnectionShares, Holder, Lane, NoConnection
from runtime.database import Database
from runtime.feed import Feed
from runtime.loop_share import LoopShare, Parts
from runtime.settings import Settings
from runtime.shared_reads import SharedReads
from schema.errors import Busy, Forbidden, UnknownCursor
from schema.loaders import Loaders

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Budget:
    """The caller's rate limit after an operation has taken its cost, in points."""

    cost: int
    limit: int
    remaining: int
    reset_at: datetime
    window: int = 1
    """Seconds in which an empty bucket becomes full."""

    organization: "OrganizationBudget | None" = None
    """None for a caller without an organisation."""


@dataclass(frozen=True, slots=True)
class OrganizationBudget:
    """What all callers of an organisation share, in points."""

    limit: int
    remaining: int
    reset_at: datetime
    window: int


class Delivery(Protocol):
    """Charges and paces the events of one subscription."""

    async def begin(self, *, replayed: bool) -> None:
        """Wait until the next event may be delivered. ``replayed``: it is one of several that were stored before."""

    def end(self) -> None:
        """The event was executed, or will not be. May be called more than once."""


class Unlimited:
    """The delivery of a subscription without a rate limit."""

    async def begin(self, *, replayed: bool) -> None:
        """Do not wait."""

    def end(self) -> None:
        """Do nothing."""


@dataclass
class Context:
    """One operation of one caller. A subscription renews its loaders for every event.

    ``resume_after`` is the cursor in the header Last-Event-ID of a client that reconnects to a stream; it takes
    precedence over the argument ``after``. ``cursor`` is the cursor of the event that the stream emits next or emitted
    last. ``idempotency_key`` is the one in the request's headers. ``lane`` says which of the process's database
    connections the operation may use.
    """

    caller: Identity
    settings: Settings
    database: Database
    feed: Feed
    connections: ConnectionShares
    loop_share: LoopShare
    request_id: str
    shared_reads: SharedReads = field(default_factory=SharedReads)
    lane: Lane = Lane.READ
    budget: Budget | None = None
    delivery: Delivery = field(default_factory=Unlimited)
    resume_after: str | None = None
    idempotency_key: str | None = None
    cursor: str | None = None
    parts: Parts = field(init=False)
    loaders: Loaders = field(init=False)

    def __post_init__(self) -> None:
        # Statements for a caller run under a role that owns nothing and sees only the rows in the caller's scope.
        self.database = self.database.restricted_to(self.caller.row_scope)
        self.parts = Parts(self.loop_share, self.holder.organisation)
        self.reset_loaders()

    @property
    def actor(self) -> Actor:
        """The caller as the actor of events and commands."""
        return self.caller.actor

    @property
    def holder(self) -> Holder:
        """The caller as the holder of connections."""
        return self.actor.holder

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the caller has this right. For reads: a mutation reports it in its payload."""
        if not self.caller.may(permission):
            raise Forbidden(f"You need the right {permission.value}.")

    def reset_loaders(self) -> None:
        """Replace the loaders, so that objects are read again."""
        self.loaders = Loaders(self.transact, self.actor, self.parts, reads=self.caller.reads_tenants)

    @asynccontextmanager
    async def delivering(self, cursor: str, *, replayed: bool) -> AsyncIterator[None]:
        """Deliver the event with this cursor in the block, when it is its turn.

        Its fields show objects as they are now. ``replayed``: it is one of several that were stored before.
        """
        await self.delivery.begin(replayed=replayed)
        self.cursor = cursor
        self.reset_loaders()
        try:
            yield
        finally:
            self.delivery.end()

    async def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread, in one transaction. Raises what it raises, and Busy when no connection is free.

        Cancellation cancels its statement.
        """

        def named(session: Session, query: CancellableQuery) -> T:
            # Events that the work emits have the id of the request.
            session.info["request_id"] = self.request_id
            with query.cancellable(session):
                if self.actor.kind is not ActorKind.SUPPORT:
                    return work(session, *args, **kwargs)
                with support_access_log.recorded_reads(session) as read:
                    done = work(session, *args, **kwargs)
                support_access_log.record_access(
                    session, support_access_log.accesses_in(read, self.actor), by=self.actor
                )
                return done

        try:
            return await run_in_thread(self.database.transact, self.connections, self.lane, self.holder, named)
        except NoConnection as refusal:
            raise Busy(refusal) from None
        except anchors.UnknownCursor as refusal:
            raise UnknownCursor(str(refusal)) from None

    async def transact_shared(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``transact`` for a read of nothing but the rows that the caller can see. Nothing may change its result.

        Operations that ask for the same at the same moment, with the same arguments and rows, share one read.
        """
        if self.actor.kind is ActorKind.SUPPORT:  # what each reads is recorded
            return await self.transact(work, *args, **kwargs)
        scope = self.caller.row_scope
        key = (scope.organisation, scope.tenants, scope.role, work, args, *sorted(kwargs.items()))
        return await self.shared_reads.read(key, lambda: self.transact(work, *args, **kwargs))


Info = strawberry.Info[Context, None]
