"""What every resolver gets: who is asking, the database, and loaders that live for one operation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

import strawberry
from anyio import CapacityLimiter
from sqlmodel import Session

from access import support_access_log
from access.permissions import Identity, Permission
from models import ActorKind
from provisioning.actors import Actor
from runtime.cancellable_queries import CancellableQuery, run_in_thread
from runtime.database import Database
from runtime.feed import Feed
from runtime.settings import Settings
from schema.errors import Forbidden
from schema.loaders import Loaders

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Budget:
    """What an operation took from its caller's budget, and what is left."""

    cost: int
    limit: int
    remaining: int
    reset_at: datetime


@dataclass
class Context:
    """One operation of one caller. A subscription renews its loaders for every event.

    ``resume_after`` is the cursor that a stream goes on after when its client comes back, whatever the document says;
    ``told`` is that of the event told last. ``idempotency_key`` is the one in the request's headers.
    """

    caller: Identity
    settings: Settings
    database: Database
    feed: Feed
    limiter: CapacityLimiter
    request_id: str
    budget: Budget | None = None
    resume_after: str | None = None
    idempotency_key: str | None = None
    told: str | None = None
    loaders: Loaders = field(init=False)

    def __post_init__(self) -> None:
        # Whatever is asked on behalf of a caller is asked under a role that owns nothing, within the caller's reach.
        self.database = self.database.restricted_to(self.actor.row_scope)
        self.renew()

    @property
    def actor(self) -> Actor:
        """Who is asking."""
        return self.caller.actor

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless the caller has this right. For reads: a mutation's payload carries its refusal."""
        if not self.caller.may(permission):
            raise Forbidden(f"This needs the right {permission.value}, which you do not have.")

    def renew(self) -> None:
        """Forget what was read so far."""
        self.loaders = Loaders(self.transact, self.actor, reads=self.caller.reads_tenants)

    def tell(self, cursor: str) -> None:
        """The event with this cursor comes next, and shows things as they are now."""
        self.told = cursor
        self.renew()

    async def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One hop to a thread, one transaction. Raises what ``work`` raises. Who gives it up cancels its statement."""

        def named(session: Session, query: CancellableQuery) -> T:
            # Events written by the work name the request that caused them.
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

        return await run_in_thread(lambda query: self.database.transact(named, query), self.limiter)


Info = strawberry.Info[Context, None]
