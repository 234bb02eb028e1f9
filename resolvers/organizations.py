"""The caller: who it is, its organisation, its budget."""

from typing import Annotated

import strawberry

from provisioning import queries
from schema.context import Info
from schema.organization import Organization
from schema.pagination import given
from schema.viewer import RateLimit, Viewer


async def viewer(info: Info) -> Viewer:
    """Whoever is asking."""
    return Viewer.of(info.context.caller)


async def organization(
    info: Info,
    slug: Annotated[
        str | None,
        strawberry.argument(
            description="Slug of the organisation, for support. Absent: the caller's own organisation."
        ),
    ] = strawberry.UNSET,
) -> Organization | None:
    """The caller's own; support may name another."""
    context = info.context
    wanted = given(slug)
    if wanted is not None:
        found = await context.transact(queries.organisation_of_slug, wanted, by=context.actor)
        return Organization.of(found) if found else None
    own = context.actor.organisation_id
    row = await context.loaders.organisations.load(own) if own else None
    return Organization.of(row) if row else None


async def rate_limit(info: Info) -> RateLimit:
    """What this operation took, and what is left."""
    budget = info.context.budget
    assert budget is not None, "the server takes it before it executes anything"
    return RateLimit.of(budget)
