"""Provisioning: creating, correcting, cancelling, retrying, and going on with a stuck undo."""

from typing import Annotated
from uuid import UUID

from sqlmodel import Session

from access.permissions import Permission
from provisioning import cancellation, commands, welcome_emails
from provisioning.commands import Corrections, NewTenant
from provisioning.errors import NotPermitted
from provisioning.locking import Change
from resolvers.mutations import carry_out, change_tenant
from schema.arguments import WHAT_TO_CREATE, WHAT_TO_DO
from schema.context import Info
from schema.inputs import (
    CancelProvisioningInput,
    CreateTenantInput,
    ResendWelcomeEmailsInput,
    ResumeCompensationInput,
    RetryProvisioningInput,
    UpdateTenantInput,
)
from schema.node import uuid_of
from schema.pagination import given
from schema.payloads import (
    CancelProvisioningPayload,
    CreateTenantPayload,
    ResendWelcomeEmailsPayload,
    ResumeCompensationPayload,
    RetryProvisioningPayload,
    UpdateTenantPayload,
)
from schema.tenant_connection import edge_of


async def create_tenant(info: Info, input: Annotated[CreateTenantInput, WHAT_TO_CREATE]) -> CreateTenantPayload | None:
    """The tenant and its first run are one transaction."""
    context = info.context
    wanted = NewTenant(
        slug=input.slug,
        plan=input.plan,
        first_admin_email=input.first_admin_email,
        name=given(input.name),
        region=given(input.region),
        provisioning_deadline=given(input.provisioning_deadline),
        start=input.start,
    )

    def work(session: Session) -> Change:
        organisation_id = context.actor.organisation_id
        if organisation_id is None or context.actor.tenant_ids is not None:
            raise NotPermitted("create tenants in this organisation")
        return commands.create_tenant(
            session, wanted, organisation_id=organisation_id, by=context.actor, regions=context.settings.regions
        )

    answer = await carry_out(info, Permission.WRITE_TENANTS, input, work)
    edge = edge_of(answer.tenant.row) if answer.tenant else None
    return CreateTenantPayload(tenant=answer.tenant, tenant_edge=edge, run=answer.run, user_errors=answer.user_errors)


async def update_tenant(info: Info, input: Annotated[UpdateTenantInput, WHAT_TO_DO]) -> UpdateTenantPayload | None:
    """What was left out stays as it is."""
    wanted = Corrections(
        slug=given(input.slug),
        name=given(input.name),
        plan=given(input.plan),
        region=given(input.region),
        first_admin_email=given(input.first_admin_email),
        provisioning_deadline=given(input.provisioning_deadline),
        without_deadline=True if input.provisioning_deadline is None else None,
    )
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        commands.update_tenant,
        wanted,
        by=info.context.actor,
        regions=info.context.settings.regions,
        expected_version=given(input.expected_version),
    )
    return UpdateTenantPayload(tenant=answer.tenant, user_errors=answer.user_errors)


async def cancel_provisioning(
    info: Info, input: Annotated[CancelProvisioningInput, WHAT_TO_DO]
) -> CancelProvisioningPayload | None:
    """Put the request on record. The workers read it between steps; nothing is undone here."""
    actor = info.context.actor

    def work(session: Session, tenant_id: UUID) -> Change:
        named = given(input.run_id)
        run_id = uuid_of("ProvisioningRun", named, called="run") if named is not None else None
        version = given(input.expected_version)
        return cancellation.cancel_provisioning(
            session, tenant_id, by=actor, reason=given(input.reason), run_id=run_id, expected_version=version
        )

    answer = await change_tenant(info, Permission.CANCEL, input, work)
    return CancelProvisioningPayload(
        tenant=answer.tenant,
        run=answer.run,
        already_requested=answer.already_requested,
        user_errors=answer.user_errors,
    )


async def retry_provisioning(
    info: Info, input: Annotated[RetryProvisioningInput, WHAT_TO_DO]
) -> RetryProvisioningPayload | None:
    """The same tenant, the next run number, from the first step."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        commands.retry_provisioning,
        by=info.context.actor,
        expected_version=given(input.expected_version),
    )
    return RetryProvisioningPayload(tenant=answer.tenant, run=answer.run, user_errors=answer.user_errors)


async def resume_compensation(
    info: Info, input: Annotated[ResumeCompensationInput, WHAT_TO_DO]
) -> ResumeCompensationPayload | None:
    """An operator's decision, with a reason for whatever is given up."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        cancellation.resume_compensation,
        by=info.context.actor,
        skip_steps=given(input.skip_steps) or (),
        reason=given(input.reason),
        expected_version=given(input.expected_version),
    )
    return ResumeCompensationPayload(tenant=answer.tenant, run=answer.run, user_errors=answer.user_errors)


async def resend_welcome_emails(
    info: Info, input: Annotated[ResendWelcomeEmailsInput, WHAT_TO_DO]
) -> ResendWelcomeEmailsPayload | None:
    """The step that follows the pivot, once more."""
    answer = await change_tenant(
        info,
        Permission.WRITE_TENANTS,
        input,
        welcome_emails.resend_welcome_emails,
        by=info.context.actor,
        expected_version=given(input.expected_version),
    )
    return ResendWelcomeEmailsPayload(tenant=answer.tenant, user_errors=answer.user_errors)
