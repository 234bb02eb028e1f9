"""Mutations of a tenant's life: suspend, resume, decommission, recreate."""

from access.permissions import Permission
from provisioning import commands
from resolvers.mutations import change_tenant, mutation
from schema.context import Info
from schema.pagination import given
from schema.tenant_mutations import (
    DecommissionTenantInput,
    DecommissionTenantPayload,
    RecreateTenantInput,
    RecreateTenantPayload,
    ResumeTenantInput,
    ResumeTenantPayload,
    SuspendTenantInput,
    SuspendTenantPayload,
)


@mutation(Permission.WRITE_TENANTS, SuspendTenantPayload)
async def suspend_tenant(info: Info, input: SuspendTenantInput) -> SuspendTenantPayload | None:
    """Stop serving the tenant: the edge reads the state, so traffic stops with the commit."""
    answer = await change_tenant(info, input, commands.suspend_tenant, reason=given(input.reason))
    return SuspendTenantPayload(tenant=answer.tenant)


@mutation(Permission.WRITE_TENANTS, ResumeTenantPayload)
async def resume_tenant(info: Info, input: ResumeTenantInput) -> ResumeTenantPayload | None:
    """Serve the tenant again, from the commit on."""
    answer = await change_tenant(info, input, commands.resume_tenant)
    return ResumeTenantPayload(tenant=answer.tenant)


@mutation(Permission.WRITE_TENANTS, DecommissionTenantPayload)
async def decommission_tenant(info: Info, input: DecommissionTenantInput) -> DecommissionTenantPayload | None:
    """Release the tenant: at once when nothing is held, otherwise by a run that goes backward."""
    answer = await change_tenant(info, input, commands.decommission_tenant, confirm_slug=given(input.confirm_slug))
    return DecommissionTenantPayload(tenant=answer.tenant, run=answer.run)


@mutation(Permission.WRITE_TENANTS, RecreateTenantPayload)
async def recreate_tenant(info: Info, input: RecreateTenantInput) -> RecreateTenantPayload | None:
    """Create a fresh tenant; its recreatedFrom is the tenant that the input names."""
    regions = info.context.settings.regions
    answer = await change_tenant(info, input, commands.recreate_tenant, regions=regions)
    return RecreateTenantPayload(tenant=answer.tenant, run=answer.run)
