"""What every resolver gets: who is asking, the database, and loaders that live for one operation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import strawberry
from anyio import CapacityLimiter
from sqlmodel import Session

from models import ActorKind, Run, Tenant
from provisioning import looks
from provisioning.actors import Actor
from runtime.database import Database
from runtime.feed import Feed
from runtime.giving_up import Statement, in_thread
from runtime.settings import Settings
from schema.enums import TenantAction
from schema.loaders import Loaders

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """Whoever is asking, and what they may do."""

    @property
    def actor(self) -> Actor:
        """Who it is, and whose tenants exist for them."""

    @property
    def scopes(self) -> Sequence[str]:
        """The rights held, by name."""

    @property
    def sees_first_admins(self) -> bool:
        """Whether they may see who administers a tenant."""

    @property
    def manages_members(self) -> bool:
        """Whether they may see and change who belongs to the organisation."""

    @property
    def reads_tenants(self) -> bool:
        """Whether they may read tenants, their runs and what those hold."""

    def actions_on(self, tenant: Tenant, run: Run | None) -> Sequence[TenantAction]:
        """What they may do with a tenant now; ``run`` is the one that has not settled."""


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

    caller: Caller
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
        self.database = self.database.within(self.actor.reach)
        self.renew()

    @property
    def actor(self) -> Actor:
        """Who is asking."""
        return self.caller.actor

    def renew(self) -> None:
        """Forget what was read so far."""
        self.loaders = Loaders(self.transact, self.actor, reads=self.caller.reads_tenants)

    def tell(self, cursor: str) -> None:
        """The event with this cursor comes next, and shows things as they are now."""
        self.told = cursor
        self.renew()

    async def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One hop to a thread, one transaction. Raises what ``work`` raises. Who gives it up cancels its statement."""

        def named(session: Session, statement: Statement) -> T:
            # Events written by the work name the request that caused them.
            session.info["request_id"] = self.request_id
            with statement.of(session):
                if self.actor.kind is not ActorKind.SUPPORT:
                    return work(session, *args, **kwargs)
                with looks.watched(session) as read:
                    done = work(session, *args, **kwargs)
                looks.put_on_record(session, looks.seen_in(read, self.actor), by=self.actor)
                return done

        return await in_thread(lambda statement: self.database.transact(named, statement), self.limiter)


Info = strawberry.Info[Context, None]
