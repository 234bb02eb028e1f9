"""The queries for the caller: its identity, organisation and rate limit."""

from typing import Annotated

import strawberry

from provisioning import queries
from schema.context import Info
from schema.organization import Organization
from schema.pagination import given
from schema.viewer import RateLimit, Viewer


async def viewer(info: Info) -> Viewer:
    """The caller."""
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
    """The caller's own organisation, or for support the one with this slug."""
    context = info.context
    requested = given(slug)
    if requested is not None:
        found = await context.transact(queries.organisation_of_slug, requested, by=context.actor)
        return Organization.of(found) if found else None
    own = context.actor.organisation_id
    row = await context.loaders.organisations.load(own) if own else None
    return Organization.of(row) if row else None


async def rate_limit(info: Info) -> RateLimit:
    """The caller's rate limit after this operation took its cost."""
    budget = info.context.budget
    assert budget is not None, "the rate limiter runs before every operation"
    return RateLimit.of(budget)
