"""What mutations answer: the objects after the call, and refusals."""

import strawberry

from schema.run import ProvisioningRun
from schema.tenant import Tenant, TenantEdge
from schema.user_errors import UserError


@strawberry.type(description="Result of createTenant.")
class CreateTenantPayload:
    """Result of createTenant."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    tenant_edge: TenantEdge | None = strawberry.field(description="The same as an edge, for lists kept by the client.")
    run: ProvisioningRun | None = strawberry.field(description="The run that was started.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of updateTenant.")
class UpdateTenantPayload:
    """Result of updateTenant."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of cancelProvisioning.")
class CancelProvisioningPayload:
    """Result of cancelProvisioning."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call.")
    run: ProvisioningRun | None = strawberry.field(
        description="The run that was told to stop. It ends later: watch tenantProvisioning."
    )
    already_requested: bool = strawberry.field(
        description="True when a cancel was on record before this call; run.cancelRequest tells whose."
    )
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of cancelProvisionings.")
class CancelProvisioningsPayload:
    """Result of cancelProvisionings."""

    results: list[CancelProvisioningPayload] = strawberry.field(description="One per tenant, in the order given.")
    user_errors: list[UserError] = strawberry.field(description="Refusals of the call as a whole.")


@strawberry.type(description="Result of retryProvisioning.")
class RetryProvisioningPayload:
    """Result of retryProvisioning."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    run: ProvisioningRun | None = strawberry.field(description="The run concerned.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of resumeCompensation.")
class ResumeCompensationPayload:
    """Result of resumeCompensation."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    run: ProvisioningRun | None = strawberry.field(description="The run concerned.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of suspendTenant.")
class SuspendTenantPayload:
    """Result of suspendTenant."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of resumeTenant.")
class ResumeTenantPayload:
    """Result of resumeTenant."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of decommissionTenant.")
class DecommissionTenantPayload:
    """Result of decommissionTenant."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    run: ProvisioningRun | None = strawberry.field(description="The run concerned.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of recreateTenant.")
class RecreateTenantPayload:
    """Result of recreateTenant."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    run: ProvisioningRun | None = strawberry.field(description="The run concerned.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of resendWelcomeEmails.")
class ResendWelcomeEmailsPayload:
    """Result of resendWelcomeEmails."""

    tenant: Tenant | None = strawberry.field(description="The tenant after the call, null when it was not found.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")
