"""The mutations that create, update, cancel, retry and resume the provisioning of a tenant."""

from functools import partial
from uuid import UUID

from access.permissions import Permission
from provisioning import cancellation, commands, welcome_emails
from provisioning.actors import Actor
from provisioning.commands import Corrections, NewTenant
from provisioning.errors import NotPermitted
from resolvers.mutations import answer_of, change_tenant, mutation, run_command, tenant_outcome
from schema.context import Info
from schema.node import uuid_of
from schema.pagination import given
from schema.tenant_connection import edge_of
from schema.tenant_mutations import (
    CancelProvisioningInput,
    CancelProvisioningPayload,
    CreateTenantInput,
    CreateTenantPayload,
    ResendWelcomeEmailsInput,
    ResendWelcomeEmailsPayload,
    ResumeCompensationInput,
    ResumeCompensationPayload,
    RetryProvisioningInput,
    RetryProvisioningPayload,
    UpdateTenantInput,
    UpdateTenantPayload,
)


@mutation(Permission.WRITE_TENANTS, CreateTenantPayload)
async def create_tenant(info: Info, input: CreateTenantInput) -> CreateTenantPayload | None:
    """Create the tenant and its first run in one transaction."""
    new = NewTenant(
        slug=input.slug,
        plan=input.plan,
        first_admin_email=input.first_admin_email,
        name=given(input.name),
        region=given(input.region),
        provisioning_deadline=given(input.provisioning_deadline),
        start=input.start,
    )
    performed = await run_command(
        info,
        input,
        commands.create_tenant,
        tenant_outcome,
        wanted=new,
        organisation_id=partial(_organisation_for_new_tenants, info.context.actor),
        regions=info.context.settings.regions,
    )
    answer = await answer_of(info.context, performed)
    edge = edge_of(answer.tenant.row) if answer.tenant else None
    return CreateTenantPayload(tenant=answer.tenant, tenant_edge=edge, run=answer.run)


@mutation(Permission.WRITE_TENANTS, UpdateTenantPayload)
async def update_tenant(info: Info, input: UpdateTenantInput) -> UpdateTenantPayload | None:
    """Change the values in the input."""
    corrections = Corrections(
        slug=given(input.slug),
        name=given(input.name),
        plan=given(input.plan),
        region=given(input.region),
        first_admin_email=given(input.first_admin_email),
        provisioning_deadline=given(input.provisioning_deadline),
        without_deadline=True if input.provisioning_deadline is None else None,
    )
    regions = info.context.settings.regions
    answer = await change_tenant(info, input, commands.update_tenant, wanted=corrections, regions=regions)
    return UpdateTenantPayload(tenant=answer.tenant)


@mutation(Permission.CANCEL, CancelProvisioningPayload)
async def cancel_provisioning(info: Info, input: CancelProvisioningInput) -> CancelProvisioningPayload | None:
    """Record the cancel. The undo is the workers' task."""
    named = given(input.run_id)
    run_id = partial(uuid_of, "ProvisioningRun", named, called="run") if named is not None else None
    answer = await change_tenant(
        info, input, cancellation.cancel_provisioning, reason=given(input.reason), run_id=run_id
    )
    return CancelProvisioningPayload(tenant=answer.tenant, run=answer.run, already_requested=answer.already_requested)


@mutation(Permission.WRITE_TENANTS, RetryProvisioningPayload)
async def retry_provisioning(info: Info, input: RetryProvisioningInput) -> RetryProvisioningPayload | None:
    """Start the next run of the tenant, from the first step."""
    answer = await change_tenant(info, input, commands.retry_provisioning)
    return RetryProvisioningPayload(tenant=answer.tenant, run=answer.run)


@mutation(Permission.WRITE_TENANTS, ResumeCompensationPayload)
async def resume_compensation(info: Info, input: ResumeCompensationInput) -> ResumeCompensationPayload | None:
    """Resume the undo of a STUCK run. Skipped steps need a reason."""
    answer = await change_tenant(
        info,
        input,
        cancellation.resume_compensation,
        skip_steps=given(input.skip_steps) or (),
        reason=given(input.reason),
    )
    return ResumeCompensationPayload(tenant=answer.tenant, run=answer.run)


@mutation(Permission.WRITE_TENANTS, ResendWelcomeEmailsPayload)
async def resend_welcome_emails(info: Info, input: ResendWelcomeEmailsInput) -> ResendWelcomeEmailsPayload | None:
    """Schedule the step that sends the welcome e-mails again."""
    answer = await change_tenant(info, input, welcome_emails.resend_welcome_emails)
    return ResendWelcomeEmailsPayload(tenant=answer.tenant)


def _organisation_for_new_tenants(actor: Actor) -> UUID:
    """The caller's organisation. Raises NotPermitted for a caller that may not create tenants in it."""
    if actor.organisation_id is None or actor.tenant_ids is not None:
        raise NotPermitted("create tenants in this organisation")
    return actor.organisation_id
