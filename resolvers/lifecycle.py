"""Lifecycle: suspending, resuming, decommissioning, and making again."""

from typing import Annotated

from access.permissions import Permission
from provisioning import commands
from resolvers.mutations import change_tenant
from schema.arguments import WHAT_TO_DO
from schema.context import Info
from schema.inputs import DecommissionTenantInput, RecreateTenantInput, ResumeTenantInput, SuspendTenantInput
from schema.pagination import given
from schema.payloads import (
    DecommissionTenantPayload,
    RecreateTenantPayload,
    ResumeTenantPayload,
    SuspendTenantPayload,
)


async def suspend_tenant(info: Info, input: Annotated[SuspendTenantInput, WHAT_TO_DO]) -> SuspendTenantPayload | None:
    """Traffic stops with the commit: the edge reads the state."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        commands.suspend_tenant,
        by=info.context.actor,
        reason=given(input.reason),
        expected_version=given(input.expected_version),
    )
    return SuspendTenantPayload(tenant=answer.tenant, user_errors=answer.user_errors)


async def resume_tenant(info: Info, input: Annotated[ResumeTenantInput, WHAT_TO_DO]) -> ResumeTenantPayload | None:
    """Traffic flows again with the commit."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        commands.resume_tenant,
        by=info.context.actor,
        expected_version=given(input.expected_version),
    )
    return ResumeTenantPayload(tenant=answer.tenant, user_errors=answer.user_errors)


async def decommission_tenant(
    info: Info, input: Annotated[DecommissionTenantInput, WHAT_TO_DO]
) -> DecommissionTenantPayload | None:
    """At once when nothing is held; otherwise by a run that goes backward."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        commands.decommission_tenant,
        by=info.context.actor,
        confirm_slug=given(input.confirm_slug),
        expected_version=given(input.expected_version),
    )
    return DecommissionTenantPayload(tenant=answer.tenant, run=answer.run, user_errors=answer.user_errors)


async def recreate_tenant(
    info: Info, input: Annotated[RecreateTenantInput, WHAT_TO_DO]
) -> RecreateTenantPayload | None:
    """The payload shows the fresh tenant; its recreatedFrom is the one that was named."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        commands.recreate_tenant,
        by=info.context.actor,
        regions=info.context.settings.regions,
        expected_version=given(input.expected_version),
    )
    return RecreateTenantPayload(tenant=answer.tenant, run=answer.run, user_errors=answer.user_errors)
