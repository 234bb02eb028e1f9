"""What every resolver gets: who is asking, the database, and loaders that live for one operation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import strawberry
from anyio import CapacityLimiter, to_thread
from sqlmodel import Session

from models import Run, Tenant
from provisioning.actors import Actor
from runtime.database import Database
from runtime.feed import Feed
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
    """One operation of one caller. A subscription renews its loaders for every event."""

    caller: Caller
    settings: Settings
    database: Database
    feed: Feed
    limiter: CapacityLimiter
    request_id: str
    budget: Budget | None = None
    loaders: Loaders = field(init=False)

    def __post_init__(self) -> None:
        self.renew()

    @property
    def actor(self) -> Actor:
        """Who is asking."""
        return self.caller.actor

    def renew(self) -> None:
        """Forget what was read so far."""
        self.loaders = Loaders(self.transact, self.actor, reads=self.caller.reads_tenants)

    async def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One hop to a thread, one transaction. Raises what ``work`` raises."""

        def named(session: Session) -> T:
            # Events written by the work name the request that caused them.
            session.info["request_id"] = self.request_id
            return work(session, *args, **kwargs)

        return await to_thread.run_sync(self.database.transact, named, limiter=self.limiter)


Info = strawberry.Info[Context, None]
