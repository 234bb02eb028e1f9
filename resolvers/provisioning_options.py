"""The queries for the form that creates a tenant."""

from typing import Annotated

import strawberry

from access.permissions import Permission
from provisioning import queries, slugs
from schema.context import Info
from schema.errors import Forbidden
from schema.provisioning_options import ProvisioningOptions, SlugCheck


async def slug_check(
    info: Info,
    slug: Annotated[
        str, strawberry.argument(description="Slug that a new tenant of the caller's organisation would get.")
    ],
) -> SlugCheck:
    """Check a slug for a caller that may create tenants, who could learn the same from createTenant."""
    context = info.context
    context.require(Permission.WRITE_TENANTS)
    organisation_id = context.actor.organisation_id
    if organisation_id is None or context.actor.tenant_ids is not None:
        raise Forbidden("You are not allowed to create tenants in this organisation.")
    found = await context.transact(slugs.slug_availability, slug, organisation_id=organisation_id, by=context.actor)
    return SlugCheck.of(found, context.settings)


async def provisioning_options(info: Info) -> ProvisioningOptions:
    """Return the plans and regions, which are the same for every organisation."""
    context = info.context
    context.require(Permission.READ_TENANTS)
    plans = await context.transact(queries.plan_codes)
    return ProvisioningOptions(plans=plans, regions=list(context.settings.regions))
