"""What mutations take."""

from datetime import timedelta

import strawberry

from schema.tenant_connection import TenantFilter


@strawberry.input(description="Input of createTenant.")
class CreateTenantInput:
    """Input of createTenant."""

    slug: str = strawberry.field(description="Wanted slug.")
    name: str | None = strawberry.field(description="Name to show; the slug when absent.", default=strawberry.UNSET)
    plan: str = strawberry.field(description="Plan code.")
    region: str | None = strawberry.field(
        description="Where it is to run; the default region when absent.", default=strawberry.UNSET
    )
    first_admin_email: str = strawberry.field(description="First administrator.")
    start: bool = strawberry.field(description="Begin provisioning at once.", default=True)
    provisioning_deadline: timedelta | None = strawberry.field(
        description="Cancel a run that takes longer.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of updateTenant.")
class UpdateTenantInput:
    """Input of updateTenant."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    slug: str | None = strawberry.field(
        description="New slug; PENDING and FAILED only, like everything here but the name.", default=strawberry.UNSET
    )
    name: str | None = strawberry.field(description="New name.", default=strawberry.UNSET)
    plan: str | None = strawberry.field(description="New plan code.", default=strawberry.UNSET)
    region: str | None = strawberry.field(description="New region.", default=strawberry.UNSET)
    first_admin_email: str | None = strawberry.field(description="New first administrator.", default=strawberry.UNSET)
    provisioning_deadline: timedelta | None = strawberry.field(
        description="New deadline; null takes it away.", default=strawberry.UNSET
    )
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of cancelProvisioning.")
class CancelProvisioningInput:
    """Input of cancelProvisioning."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    run_id: strawberry.ID | None = strawberry.field(
        description="Only this run; refused when another one is at work.", default=strawberry.UNSET
    )
    reason: str | None = strawberry.field(
        description="Kept in the audit feed; at most 500 characters.", default=strawberry.UNSET
    )
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of cancelProvisionings. Give ids or a filter, not both.")
class CancelProvisioningsInput:
    """Input of cancelProvisionings. Give ids or a filter, not both."""

    tenant_ids: list[strawberry.ID] | None = strawberry.field(description="At most 500.", default=strawberry.UNSET)
    filter: TenantFilter | None = strawberry.field(
        description="Every matching tenant that is PROVISIONING, at most 500 in one call.", default=strawberry.UNSET
    )
    reason: str | None = strawberry.field(description="Kept in the audit feed.", default=strawberry.UNSET)
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of retryProvisioning.")
class RetryProvisioningInput:
    """Input of retryProvisioning."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of resumeCompensation.")
class ResumeCompensationInput:
    """Input of resumeCompensation."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    skip_steps: list[str] | None = strawberry.field(
        description="Steps to give up on: their resources are recorded as abandoned.", default=strawberry.UNSET
    )
    reason: str | None = strawberry.field(description="Why; required with skipSteps.", default=strawberry.UNSET)
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of suspendTenant.")
class SuspendTenantInput:
    """Input of suspendTenant."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    reason: str | None = strawberry.field(description="Kept in the audit feed.", default=strawberry.UNSET)
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of resumeTenant.")
class ResumeTenantInput:
    """Input of resumeTenant."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of decommissionTenant.")
class DecommissionTenantInput:
    """Input of decommissionTenant."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    confirm_slug: str | None = strawberry.field(
        description="The tenant's slug, typed again; required from ACTIVE and SUSPENDED.", default=strawberry.UNSET
    )
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of recreateTenant.")
class RecreateTenantInput:
    """Input of recreateTenant."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )


@strawberry.input(description="Input of resendWelcomeEmails.")
class ResendWelcomeEmailsInput:
    """Input of resendWelcomeEmails."""

    tenant_id: strawberry.ID = strawberry.field(description="The tenant.")
    expected_version: int | None = strawberry.field(
        description="Only when the tenant still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(
        description="Makes a repeat of this call safe for 24 hours.", default=strawberry.UNSET
    )
