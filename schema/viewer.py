"""The caller and its budget, as the caller sees them."""

from datetime import datetime

import strawberry

from access.permissions import Identity
from schema.actor import Actor
from schema.context import Budget


@strawberry.type(description="The caller.")
class Viewer:
    """Whoever is asking."""

    actor: Actor = strawberry.field(description="Who it is.")
    scopes: list[str] = strawberry.field(description="Rights it holds, as scope names.")

    @classmethod
    def of(cls, caller: Identity) -> "Viewer":
        """What a caller sees of itself."""
        return cls(actor=Actor.of_actor(caller.actor), scopes=list(caller.scopes))


@strawberry.type(description="Budget of the caller.")
class RateLimit:
    """A bucket of points."""

    cost: int = strawberry.field(description="Points this operation took.")
    limit: int = strawberry.field(description="Size of the bucket.")
    remaining: int = strawberry.field(description="Points left.")
    reset_at: datetime = strawberry.field(description="When the bucket is full again.")

    @classmethod
    def of(cls, budget: Budget) -> "RateLimit":
        """What a caller sees of its budget."""
        return cls(cost=budget.cost, limit=budget.limit, remaining=budget.remaining, reset_at=budget.reset_at)
