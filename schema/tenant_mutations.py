"""Inputs and payloads of the mutations of tenants in the GraphQL schema."""

from collections.abc import Sequence
from datetime import timedelta

import strawberry

from schema.mutation_base import MutationInput, MutationPayload, VersionedInput, mutation_input, mutation_payload
from schema.run import ProvisioningRun
from schema.tenant import Tenant, TenantEdge
from schema.tenant_connection import TenantFilter
from schema.user_errors import UserError

MAX_TENANTS_PER_CALL = 500


@mutation_input
class TenantInput(VersionedInput):
    """The input of a mutation of one tenant."""

    tenant_id: strawberry.ID = strawberry.field(
        description="Global id of the tenant. NOT_FOUND when the caller cannot see the tenant."
    )

    def named_tenants(self) -> Sequence[str]:
        """The tenant in the input."""
        return [self.tenant_id]


@mutation_payload
class TenantPayload(MutationPayload):
    """The payload of a mutation of one tenant."""

    tenant: Tenant | None = strawberry.field(
        description="The tenant as it is after the call, also when the call was refused. Null when the caller cannot "
        "see it, and in a refusal of a caller without the right tenants:read.",
        default=None,
    )


@mutation_payload
class RunPayload(TenantPayload):
    """The payload of a mutation that concerns a run."""

    run: ProvisioningRun | None = strawberry.field(
        description="The run that the call started or resumed, which continues after the response. Null when the "
        "call was refused.",
        default=None,
    )


@mutation_input
class CreateTenantInput(MutationInput):
    """The tenant to create, and whether to start its first run now."""

    slug: str = strawberry.field(
        description="2 to 40 lower-case letters, digits and single hyphens, beginning with a letter. It becomes part "
        "of the address. TAKEN while another tenant has it; slugCheck tells in advance. Words such as admin are "
        "reserved."
    )
    name: str | None = strawberry.field(
        description="Display name, 1 to 80 characters; the slug when absent.", default=strawberry.UNSET
    )
    plan: str = strawberry.field(description="Code of the plan; provisioningOptions lists the codes.")
    region: str | None = strawberry.field(
        description="Region that the tenant runs in. Absent: the first in provisioningOptions.",
        default=strawberry.UNSET,
    )
    first_admin_email: str = strawberry.field(
        description="E-mail address of the first administrator, who receives the welcome e-mails once the tenant is "
        "ACTIVE."
    )
    start: bool = strawberry.field(
        description="Whether to start provisioning now. With false the tenant stays PENDING, and does not count for "
        "the quota, until retryProvisioning.",
        default=True,
    )
    provisioning_deadline: timedelta | None = strawberry.field(
        description="The platform cancels a run that has not gone live after this time, one second to 30 days. "
        "Absent: the deadline of the plan applies, if the plan has one.",
        default=strawberry.UNSET,
    )


@mutation_payload
class CreateTenantPayload(MutationPayload):
    """The tenant that createTenant created, or the reasons for a refusal."""

    tenant: Tenant | None = strawberry.field(
        description="The new tenant; null when the call was refused, because then no tenant was created.", default=None
    )
    tenant_edge: TenantEdge | None = strawberry.field(
        description="The new tenant as an edge of the list with the newest first, for a list that the client has in "
        "its cache; null when the call was refused.",
        default=None,
    )
    run: ProvisioningRun | None = strawberry.field(
        description="The first run, which continues after the response; null with start: false, and when the call was "
        "refused.",
        default=None,
    )


@mutation_input
class UpdateTenantInput(TenantInput):
    """The values to correct. A value that is left out is not changed.

    The name can change until the tenant is DECOMMISSIONING, the other values in PENDING and FAILED only.
    """

    slug: str | None = strawberry.field(
        description="New slug, which changes the address; the rules of createTenant apply.",
        default=strawberry.UNSET,
    )
    name: str | None = strawberry.field(description="New display name, 1 to 80 characters.", default=strawberry.UNSET)
    plan: str | None = strawberry.field(
        description="Code of the new plan; provisioningOptions lists the codes.", default=strawberry.UNSET
    )
    region: str | None = strawberry.field(
        description="Name of the new region; provisioningOptions lists the names.", default=strawberry.UNSET
    )
    first_admin_email: str | None = strawberry.field(
        description="New e-mail address of the first administrator.", default=strawberry.UNSET
    )
    provisioning_deadline: timedelta | None = strawberry.field(
        description="New deadline for later runs, one second to 30 days. Null removes it: then the deadline of the "
        "plan applies, if the plan has one.",
        default=strawberry.UNSET,
    )


@mutation_payload
class UpdateTenantPayload(TenantPayload):
    """The tenant that updateTenant corrected, or the reasons for a refusal."""


@mutation_input
class CancelProvisioningInput(TenantInput):
    """The tenant for which to cancel the provisioning run."""

    run_id: strawberry.ID | None = strawberry.field(
        description="Global id of the run to cancel. STALE_RUN when another run of the tenant is under way. Absent: "
        "the run that is under way.",
        default=strawberry.UNSET,
    )
    reason: str | None = strawberry.field(
        description="Reason for the audit feed, at most 500 characters.", default=strawberry.UNSET
    )


@mutation_payload
class CancelProvisioningPayload(TenantPayload):
    """The run that cancelProvisioning stops, or the reasons for a refusal."""

    run: ProvisioningRun | None = strawberry.field(
        description="The run that is cancelled. Its undo continues after the response: watch tenantProvisioning. "
        "Null when the call was refused.",
        default=None,
    )
    already_requested: bool = strawberry.field(
        description="True when an earlier cancel of this run was already recorded, so this call changed nothing; "
        "run.cancelRequest has the earlier one.",
        default=False,
    )


@mutation_input
class CancelProvisioningsInput(MutationInput):
    """The tenants for which to cancel the provisioning runs. Exactly one of tenantIds and filter is required."""

    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of the tenants, at most 500. There is a result for each.", default=strawberry.UNSET
    )
    filter: TenantFilter | None = strawberry.field(
        description="Cancels for every matching tenant that is PROVISIONING, the oldest first. The call is refused "
        "when there are more than 500.",
        default=strawberry.UNSET,
    )
    reason: str | None = strawberry.field(
        description="Reason for the audit feed, at most 500 characters.", default=strawberry.UNSET
    )

    def named_tenants(self) -> Sequence[str]:
        """The tenants in the input, up to the limit of a call."""
        return list(self.tenant_ids or [])[:MAX_TENANTS_PER_CALL]


@mutation_payload
class CancelProvisioningsPayload(MutationPayload):
    """One result for each tenant, or the reasons for a refusal of the whole call."""

    results: list[CancelProvisioningPayload] = strawberry.field(
        description="One result for each tenant, in the order of tenantIds; with a filter, in the order of creation. "
        "Empty when the whole call was refused.",
        default_factory=list,
    )
    user_errors: list[UserError] = strawberry.field(
        description="Why the whole call was refused; refusals for single tenants are in their results.",
        default_factory=list,
    )


@mutation_input
class RetryProvisioningInput(TenantInput):
    """The PENDING or FAILED tenant to provision."""


@mutation_payload
class RetryProvisioningPayload(RunPayload):
    """The run that retryProvisioning started, or the reasons for a refusal."""


@mutation_input
class ResumeCompensationInput(TenantInput):
    """The tenant with the STUCK run to resume, and the steps that are not to be undone."""

    skip_steps: list[str] | None = strawberry.field(
        description="Names of steps that will not be undone. Their resources are recorded as ABANDONED, may still "
        "exist and have to be removed by hand.",
        default=strawberry.UNSET,
    )
    reason: str | None = strawberry.field(
        description="Reason for the audit feed, at most 500 characters. Required with skipSteps.",
        default=strawberry.UNSET,
    )


@mutation_payload
class ResumeCompensationPayload(RunPayload):
    """The run that resumeCompensation resumed, or the reasons for a refusal."""


@mutation_input
class SuspendTenantInput(TenantInput):
    """The ACTIVE tenant to suspend."""

    reason: str | None = strawberry.field(
        description="Reason for the audit feed, at most 500 characters.", default=strawberry.UNSET
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
    """The tenant to decommission, which cannot be taken back."""

    confirm_slug: str | None = strawberry.field(
        description="The tenant's slug, as confirmation. Required in ACTIVE and SUSPENDED: NOT_CONFIRMED without it.",
        default=strawberry.UNSET,
    )


@mutation_payload
class DecommissionTenantPayload(RunPayload):
    """The run that releases the tenant's resources, or the reasons for a refusal."""

    run: ProvisioningRun | None = strawberry.field(
        description="The run that releases the resources, which continues after the response. Null when the tenant "
        "held none and is already DECOMMISSIONED, and when the call was refused.",
        default=None,
    )


@mutation_input
class RecreateTenantInput(TenantInput):
    """The DECOMMISSIONED tenant to create again, with the same slug, name, plan, region and first administrator."""


@mutation_payload
class RecreateTenantPayload(RunPayload):
    """The new tenant that recreateTenant created and its run, or the reasons for a refusal."""

    tenant: Tenant | None = strawberry.field(
        description="The new tenant. When the call was refused, the tenant in the input, or null for a caller that "
        "cannot see it or does not have the right tenants:read.",
        default=None,
    )


@mutation_input
class ResendWelcomeEmailsInput(TenantInput):
    """The ACTIVE tenant for which to send the welcome e-mails again."""


@mutation_payload
class ResendWelcomeEmailsPayload(TenantPayload):
    """The tenant for which the welcome e-mails will be sent again, or the reasons for a refusal."""
