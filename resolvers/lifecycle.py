"""The mutations that suspend, resume, decommission and recreate a tenant."""

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
    """Suspend the tenant. The edge reads the state, so traffic stops with the commit."""
    answer = await change_tenant(info, input, commands.suspend_tenant, reason=given(input.reason))
    return SuspendTenantPayload(tenant=answer.tenant)


@mutation(Permission.WRITE_TENANTS, ResumeTenantPayload)
async def resume_tenant(info: Info, input: ResumeTenantInput) -> ResumeTenantPayload | None:
    """Make the tenant ACTIVE again. Traffic resumes with the commit."""
    answer = await change_tenant(info, input, commands.resume_tenant)
    return ResumeTenantPayload(tenant=answer.tenant)


@mutation(Permission.WRITE_TENANTS, DecommissionTenantPayload)
async def decommission_tenant(info: Info, input: DecommissionTenantInput) -> DecommissionTenantPayload | None:
    """Decommission the tenant: at once when it holds nothing, otherwise with a run that undoes every step."""
    answer = await change_tenant(info, input, commands.decommission_tenant, confirm_slug=given(input.confirm_slug))
    return DecommissionTenantPayload(tenant=answer.tenant, run=answer.run)


@mutation(Permission.WRITE_TENANTS, RecreateTenantPayload)
async def recreate_tenant(info: Info, input: RecreateTenantInput) -> RecreateTenantPayload | None:
    """Create a new tenant from a DECOMMISSIONED one."""
    regions = info.context.settings.regions
    answer = await change_tenant(info, input, commands.recreate_tenant, regions=regions)
    return RecreateTenantPayload(tenant=answer.tenant, run=answer.run)
