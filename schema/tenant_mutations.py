"""Inputs and payloads of the mutations of tenants."""

from collections.abc import Sequence
from datetime import timedelta

import strawberry

from schema.mutation_base import MutationInput, MutationPayload, VersionedInput, mutation_input, mutation_payload
from schema.run import ProvisioningRun
from schema.tenant import Tenant, TenantEdge
from schema.tenant_connection import TenantFilter
from schema.user_errors import UserError

MOST_TENANTS = 500
"""Tenants in one bulk call."""


@mutation_input
class TenantInput(VersionedInput):
    """The input of a mutation of one tenant."""

    tenant_id: strawberry.ID = strawberry.field(description="Global id of the tenant to change.")

    def named_tenants(self) -> Sequence[str]:
        """The tenant that the call names."""
        return [self.tenant_id]


@mutation_payload
class TenantPayload(MutationPayload):
    """The payload of a mutation of one tenant."""

    tenant: Tenant | None = strawberry.field(
        description="The tenant as it is after the call, also when the call was refused. Null when it does not exist "
        "for the caller, and for a refused caller that may not read tenants.",
        default=None,
    )


@mutation_payload
class RunPayload(TenantPayload):
    """The payload of a mutation that concerns a run."""

    run: ProvisioningRun | None = strawberry.field(
        description="The run that the call started or changed. Null when it concerned none, or was refused.",
        default=None,
    )


@mutation_input
class CreateTenantInput(MutationInput):
    """The tenant to create, and whether to provision it at once."""

    slug: str = strawberry.field(
        description="2 to 40 lower-case letters, digits and single hyphens. Unique in the organisation."
    )
    name: str | None = strawberry.field(
        description="Name to show, 1 to 80 characters; the slug when absent.", default=strawberry.UNSET
    )
    plan: str = strawberry.field(description="Code of the plan; provisioningOptions lists them.")
    region: str | None = strawberry.field(
        description="Region to run in, the default region when absent; provisioningOptions lists them.",
        default=strawberry.UNSET,
    )
    first_admin_email: str = strawberry.field(
        description="E-mail address of the first administrator, who gets the welcome e-mails."
    )
    start: bool = strawberry.field(
        description="Start provisioning at once. With false the tenant stays PENDING until retryProvisioning.",
        default=True,
    )
    provisioning_deadline: timedelta | None = strawberry.field(
        description="Cancel a run that takes longer than this: one second to 30 days. Never when absent.",
        default=strawberry.UNSET,
    )


@mutation_payload
class CreateTenantPayload(MutationPayload):
    """The tenant that createTenant created, or the reasons for a refusal."""

    tenant: Tenant | None = strawberry.field(
        description="The new tenant; null when the call was refused.", default=None
    )
    tenant_edge: TenantEdge | None = strawberry.field(
        description="The new tenant as an edge, for lists that the client keeps.", default=None
    )
    run: ProvisioningRun | None = strawberry.field(
        description="The run that was started; null with start: false, and when the call was refused.", default=None
    )


@mutation_input
class UpdateTenantInput(TenantInput):
    """The values to correct. A value that is left out stays as it is."""

    slug: str | None = strawberry.field(
        description="New slug. Every value but the name can change in PENDING and FAILED only.",
        default=strawberry.UNSET,
    )
    name: str | None = strawberry.field(description="New name to show, 1 to 80 characters.", default=strawberry.UNSET)
    plan: str | None = strawberry.field(
        description="Code of the new plan; provisioningOptions lists them.", default=strawberry.UNSET
    )
    region: str | None = strawberry.field(
        description="New region; provisioningOptions lists them.", default=strawberry.UNSET
    )
    first_admin_email: str | None = strawberry.field(
        description="New e-mail address of the first administrator.", default=strawberry.UNSET
    )
    provisioning_deadline: timedelta | None = strawberry.field(
        description="New deadline of a run, one second to 30 days; null removes it.", default=strawberry.UNSET
    )


@mutation_payload
class UpdateTenantPayload(TenantPayload):
    """The tenant that updateTenant corrected, or the reasons for a refusal."""


@mutation_input
class CancelProvisioningInput(TenantInput):
    """The tenant with the provisioning to cancel."""

    run_id: strawberry.ID | None = strawberry.field(
        description="Cancel this run only: refused with STALE_RUN when another run is under way.",
        default=strawberry.UNSET,
    )
    reason: str | None = strawberry.field(
        description="Why, for the audit feed; at most 500 characters.", default=strawberry.UNSET
    )


@mutation_payload
class CancelProvisioningPayload(TenantPayload):
    """The run that cancelProvisioning stops, or the reasons for a refusal."""

    run: ProvisioningRun | None = strawberry.field(
        description="The run that stops and is undone. It ends later: watch tenantProvisioning.", default=None
    )
    already_requested: bool = strawberry.field(
        description="True when a cancel was on record before this call; run.cancelRequest says by whom.", default=False
    )


@mutation_input
class CancelProvisioningsInput(MutationInput):
    """The tenants with the provisionings to cancel: ids or a filter, not both."""

    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of the tenants, at most 500.", default=strawberry.UNSET
    )
    filter: TenantFilter | None = strawberry.field(
        description="Every matching tenant that is PROVISIONING, at most 500 in one call.", default=strawberry.UNSET
    )
    reason: str | None = strawberry.field(
        description="Why, for the audit feed; at most 500 characters.", default=strawberry.UNSET
    )

    def named_tenants(self) -> Sequence[str]:
        """The tenants that the call names, as many as one call may name."""
        return list(self.tenant_ids or [])[:MOST_TENANTS]


@mutation_payload
class CancelProvisioningsPayload(MutationPayload):
    """One result for each tenant, or the reasons for a refusal of the whole call."""

    results: list[CancelProvisioningPayload] = strawberry.field(
        description="One result for each tenant, in the order of the ids.", default_factory=list
    )
    user_errors: list[UserError] = strawberry.field(
        description="Why the call was refused as a whole; each result has its own.", default_factory=list
    )


@mutation_input
class RetryProvisioningInput(TenantInput):
    """The PENDING or FAILED tenant to provision again."""


@mutation_payload
class RetryProvisioningPayload(RunPayload):
    """The run that retryProvisioning started, or the reasons for a refusal."""


@mutation_input
class ResumeCompensationInput(TenantInput):
    """The tenant with the STUCK run, and the steps to give up."""

    skip_steps: list[str] | None = strawberry.field(
        description="Names of steps to give up: their resources are recorded as ABANDONED and may still exist.",
        default=strawberry.UNSET,
    )
    reason: str | None = strawberry.field(
        description="Why, for the audit feed; required with skipSteps.", default=strawberry.UNSET
    )


@mutation_payload
class ResumeCompensationPayload(RunPayload):
    """The run that resumeCompensation resumed, or the reasons for a refusal."""


@mutation_input
class SuspendTenantInput(TenantInput):
    """The ACTIVE tenant to suspend."""

    reason: str | None = strawberry.field(
        description="Why, for the audit feed; at most 500 characters.", default=strawberry.UNSET
    )


@mutation_payload
class SuspendTenantPayload(TenantPayload):
    """The tenant that suspendTenant suspended, or the reasons for a refusal."""


@mutation_input
class ResumeTenantInput(TenantInput):
    """The SUSPENDED tenant to serve again."""


@mutation_payload
class ResumeTenantPayload(TenantPayload):
    """The tenant that resumeTenant resumed, or the reasons for a refusal."""


@mutation_input
class DecommissionTenantInput(TenantInput):
    """The tenant to release for good."""

    confirm_slug: str | None = strawberry.field(
        description="The tenant's slug, typed again; required from ACTIVE and SUSPENDED.", default=strawberry.UNSET
    )


@mutation_payload
class DecommissionTenantPayload(RunPayload):
    """The run that releases the tenant's resources, or the reasons for a refusal."""


@mutation_input
class RecreateTenantInput(TenantInput):
    """The DECOMMISSIONED tenant to create again under the same slug."""


@mutation_payload
class RecreateTenantPayload(RunPayload):
    """The fresh tenant that recreateTenant created and its run, or the reasons for a refusal."""


@mutation_input
class ResendWelcomeEmailsInput(TenantInput):
    """The ACTIVE tenant with the welcome e-mails to send again."""


@mutation_payload
class ResendWelcomeEmailsPayload(TenantPayload):
    """The tenant that resendWelcomeEmails concerns, or the reasons for a refusal."""
