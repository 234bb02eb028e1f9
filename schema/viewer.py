"""The caller and its rate limit in the GraphQL schema."""

from datetime import datetime

import strawberry

from access.permissions import Identity
from schema.actor import Actor
from schema.context import Budget
from schema.described import described_type


@described_type
class Viewer:
    """The caller, as its token identifies it."""

    actor: Actor = strawberry.field(description="The person, program or support engineer that the token identifies.")
    scopes: list[str] = strawberry.field(
        description="Rights that the caller has now, such as tenants:read, tenants:first-admin and members:manage."
    )

    @classmethod
    def of(cls, caller: Identity) -> "Viewer":
        """Convert an identity."""
        return cls(actor=Actor.of_actor(caller.actor), scopes=list(caller.scopes))


@described_type
class RateLimit:
    """The caller's token bucket. An operation takes its cost from it before it runs, and points flow back steadily.

    An operation that costs more than what is left is refused with RATE_LIMITED.
    """

    cost: int = strawberry.field(
        description="Points that this operation took: one for each field, and below a list one for each field of "
        "every item that a page can have."
    )
    limit: int = strawberry.field(
        description="Points in a full bucket. An operation that costs more is refused with DOCUMENT_TOO_COMPLEX."
    )
    remaining: int = strawberry.field(description="Points left after this operation, rounded down.")
    reset_at: datetime = strawberry.field(
        description="When the bucket is full again, if the caller sends nothing until then."
    )

    @classmethod
    def of(cls, budget: Budget) -> "RateLimit":
        """Convert a budget."""
        return cls(cost=budget.cost, limit=budget.limit, remaining=budget.remaining, reset_at=budget.reset_at)
