"""The root types of the GraphQL schema: every query, mutation and subscription."""

import copy
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import cache
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.execution import PreExecutionError

from resolvers import (
    audit,
    bulk_cancel,
    lifecycle,
    members,
    nodes,
    organizations,
    provisioning,
    provisioning_options,
    subscriptions,
    tenants,
)
from schema import member, service_account, tenant_mutations
from schema.audit import AuditEvent, AuditEventConnection
from schema.described import described_type
from schema.execution import Executor
from schema.extension_hooks import ExtensionsRunner
from schema.node import Node
from schema.organization import Organization
from schema.provisioning_options import ProvisioningOptions, SlugCheck
from schema.scalars import SCALARS
from schema.tenant import Tenant
from schema.tenant_connection import TenantConnection
from schema.timeline import ProvisioningEvent
from schema.user_errors import GenericError, InvalidStateError
from schema.viewer import RateLimit, Viewer


@described_type
class Query:
    """Reads. A caller sees its own organisation; support sees all, and each organisation's feed records its reads."""

    node: Node | None = strawberry.field(
        resolver=nodes.node,
        description="The object with this global id. Null when it does not exist, or the caller cannot see it.",
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=nodes.nodes,
        description="The objects with these global ids, in the same order. Null in the place of one that does not "
        "exist or that the caller cannot see.",
    )
    viewer: Viewer = strawberry.field(
        resolver=organizations.viewer, description="The caller, as its token identifies it, and its rights."
    )
    organization: Organization | None = strawberry.field(
        resolver=organizations.organization,
        description="The caller's organisation. Null for support without a slug, and for a slug that the caller cannot "
        "see.",
    )
    tenant: Tenant | None = strawberry.field(
        resolver=tenants.tenant,
        description="The tenant with this id, in any state. Null when it does not exist, or the caller cannot see it. "
        "FORBIDDEN without the right tenants:read.",
    )
    tenant_by_slug: Tenant | None = strawberry.field(
        resolver=tenants.tenant_by_slug,
        description="The tenant that has this slug now; DECOMMISSIONED tenants have none. Null when the caller sees "
        "none. Support gets the newest one of all organisations. FORBIDDEN without the right tenants:read.",
    )
    tenants: TenantConnection = strawberry.field(
        resolver=tenants.tenants,
        description="The tenants that the caller can see, in every state, the newest first unless orderBy says "
        "otherwise. FORBIDDEN without the right tenants:read.",
    )
    slug_check: SlugCheck = strawberry.field(
        resolver=provisioning_options.slug_check,
        description="Whether createTenant would accept a slug now. It reserves nothing: another caller may take the "
        "slug first, and an address that another organisation holds is not reported. FORBIDDEN for callers that may "
        "not create tenants.",
    )
    provisioning_options: ProvisioningOptions = strawberry.field(
        resolver=provisioning_options.provisioning_options,
        description="The plans and regions that createTenant and updateTenant accept. FORBIDDEN without the right "
        "tenants:read.",
    )
    audit_events: AuditEventConnection = strawberry.field(
        resolver=audit.audit_events,
        description="The audit feed, newest first. Without tenantId or runId in the filter it ends where a transaction "
        "that is still open could add an event, so that a client that follows its cursors misses none. FORBIDDEN "
        "without the right audit:read.",
    )
    rate_limit: RateLimit = strawberry.field(
        resolver=organizations.rate_limit,
        description="What this operation took from the caller's rate limit, and what is left.",
    )


def _mutation(resolver: Callable[..., Any], description: str) -> Any:  # noqa: ANN401  # as strawberry.mutation is typed
    """Declare a mutation. Each has one argument, input."""
    field = strawberry.mutation(resolver=resolver, description=description)
    (argument,) = field.arguments
    argument.description = "The values of the call; the input type describes each."
    return field


@described_type
class Mutation:
    """Writes. A refusal is not an error: the payload has it in userErrors, and nothing has changed.

    Mutations of tenants need the right tenants:write unless they name another. A payload is null only when the server
    failed; errors then says so.
    """

    create_tenant: tenant_mutations.CreateTenantPayload | None = _mutation(
        resolver=provisioning.create_tenant,
        description="Create a tenant and, unless start is false, start its first run, which continues after the "
        "response: watch tenantProvisioning. QUOTA_EXCEEDED when the plan allows no more tenants; FORBIDDEN for "
        "support and for service accounts that are limited to some tenants.",
    )
    update_tenant: tenant_mutations.UpdateTenantPayload | None = _mutation(
        resolver=provisioning.update_tenant,
        description="Correct the values of a PENDING or FAILED tenant, for example before retryProvisioning. The name "
        "alone can also be changed in PROVISIONING, ACTIVE and SUSPENDED.",
    )
    cancel_provisioning: tenant_mutations.CancelProvisioningPayload | None = _mutation(
        resolver=provisioning.cancel_provisioning,
        description="Record a cancel of the run that provisions a tenant. No further step begins, the tenant does not "
        "become ACTIVE, and what was done is undone after the response; then the tenant is PENDING. INVALID_STATE when "
        "no provisioning run is under way. Needs the right tenants:cancel.",
    )
    cancel_provisionings: tenant_mutations.CancelProvisioningsPayload | None = _mutation(
        resolver=bulk_cancel.cancel_provisionings,
        description="Record a cancel for up to 500 tenants, with a result for each. The cancels are committed in "
        "parts: after an interrupted call repeat it, and cancels that were recorded come back with alreadyRequested. "
        "Needs the right tenants:cancel.",
    )
    retry_provisioning: tenant_mutations.RetryProvisioningPayload | None = _mutation(
        resolver=provisioning.retry_provisioning,
        description="Start a run of a PENDING or FAILED tenant, from the first step: its first run if it was created "
        "with start: false, otherwise another try. QUOTA_EXCEEDED when the plan allows no more tenants.",
    )
    resume_compensation: tenant_mutations.ResumeCompensationPayload | None = _mutation(
        resolver=provisioning.resume_compensation,
        description="Resume the undo of a STUCK run after its cause was removed, or skip the steps that cannot be "
        "undone. The failed compensation gets new attempts.",
    )
    suspend_tenant: tenant_mutations.SuspendTenantPayload | None = _mutation(
        resolver=lifecycle.suspend_tenant,
        description="Stop serving an ACTIVE tenant: its address answers 503 from now on. All resources are kept.",
    )
    resume_tenant: tenant_mutations.ResumeTenantPayload | None = _mutation(
        resolver=lifecycle.resume_tenant, description="Serve a SUSPENDED tenant again: it is ACTIVE from now on."
    )
    decommission_tenant: tenant_mutations.DecommissionTenantPayload | None = _mutation(
        resolver=lifecycle.decommission_tenant,
        description="Release all resources of a tenant, which cannot be taken back. The organisation can then use the "
        "slug again. No other one gets the address for a year, unless the tenant was never ACTIVE. A PENDING or FAILED "
        "tenant is DECOMMISSIONED at once; for an ACTIVE or SUSPENDED one a run starts. INVALID_STATE in "
        "PROVISIONING: cancel first.",
    )
    recreate_tenant: tenant_mutations.RecreateTenantPayload | None = _mutation(
        resolver=lifecycle.recreate_tenant,
        description="Create a new tenant with the values of a DECOMMISSIONED one, and start its first run. TAKEN when "
        "another tenant has the slug by now; FORBIDDEN for service accounts that are limited to some tenants.",
    )
    resend_welcome_emails: tenant_mutations.ResendWelcomeEmailsPayload | None = _mutation(
        resolver=provisioning.resend_welcome_emails,
        description="Send the welcome e-mails of an ACTIVE tenant again, after the response. While earlier ones are "
        "still being sent, this changes nothing.",
    )

    invite_member: member.InviteMemberPayload | None = _mutation(
        resolver=members.invite_member,
        description="Record a member. The person joins by signing in with the identity provider within 14 days. Needs "
        "the right members:manage.",
    )
    change_member_role: member.ChangeMemberRolePayload | None = _mutation(
        resolver=members.change_member_role,
        description="Give a member another role, or transfer the ownership. The old rights end within seconds, on open "
        "streams too. Needs the right members:manage.",
    )
    remove_member: member.RemoveMemberPayload | None = _mutation(
        resolver=members.remove_member,
        description="Remove a member, who loses access within seconds, on open streams too. Needs the right "
        "members:manage.",
    )
    create_service_account: service_account.CreateServiceAccountPayload | None = _mutation(
        resolver=members.create_service_account,
        description="Create a service account for a partner's program. The payload has its API token, which cannot be "
        "read again. Needs the right members:manage.",
    )
    update_service_account: service_account.UpdateServiceAccountPayload | None = _mutation(
        resolver=members.update_service_account,
        description="Change the name, rights, tenants or expiry of a service account. Rights that it loses end within "
        "seconds, on open streams too. Needs the right members:manage.",
    )
    rotate_service_account_token: service_account.RotateServiceAccountTokenPayload | None = _mutation(
        resolver=members.rotate_service_account_token,
        description="Issue a new API token for a service account. The payload has it, and it cannot be read again. "
        "Needs the right members:manage.",
    )
    revoke_service_account: service_account.RevokeServiceAccountPayload | None = _mutation(
        resolver=members.revoke_service_account,
        description="Revoke a service account for good: its tokens stop working within seconds, on open streams too. "
        "Needs the right members:manage.",
    )


@described_type
class Subscription:
    """Streams, over a websocket or Server-Sent Events. A stream ends when the caller loses the right to read it."""

    tenant_provisioning: AsyncGenerator[ProvisioningEvent, None] = strawberry.subscription(
        resolver=subscriptions.tenant_provisioning,
        description="The timeline of a tenant's newest run: the entries so far, then each new one, until RUN_FINISHED. "
        "Resume with after: no stored entry is skipped and none is repeated. Without follow it ends at once when the "
        "tenant has no run. UNKNOWN_CURSOR when the entry of the cursor is not stored (any more): read the timeline "
        "again, without after. FORBIDDEN without the right tenants:read.",
    )
    audit_event_added: AsyncGenerator[AuditEvent, None] = strawberry.subscription(
        resolver=audit.audit_event_added,
        description="Each new event of the audit feed, in the order of the feed. Resume with after: no event is "
        "skipped and none is repeated. UNKNOWN_CURSOR when the event of the cursor is not stored (any more): its "
        "retention is over, the database was restored to an earlier time, or this "
        "installation never returned the cursor. Read auditEvents without a cursor, then subscribe after its newest "
        "cursor or from now on. FORBIDDEN without the "
        "right audit:read.",
    )


class Schema(strawberry.Schema):
    """The schema without Strawberry's own logging of errors: error masking logs those of the server."""

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        """Create the runner of one operation's extensions."""
        return ExtensionsRunner(execution_context, extensions)

    async def _prepare_operation_async(
        self, context: ExecutionContext, extensions_runner: SchemaExtensionsRunner
    ) -> PreExecutionError | None:
        """Parse and validate. An extension's refusal becomes an error in the result: raised, it would end a stream."""
        try:
            return await super()._prepare_operation_async(context, extensions_runner)
        except GraphQLError as refusal:
            context.pre_execution_errors = [refusal]
            return PreExecutionError(data=None, errors=[refusal])

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Do nothing: the extensions process errors."""


def build_schema(extensions: Iterable[Callable[[], SchemaExtension]] = ()) -> Schema:
    """The schema, with extensions that run around each operation."""
    schema = copy.copy(_schema_without_extensions())
    schema.extensions = tuple(extensions)
    return schema


@cache
def _schema_without_extensions() -> Schema:
    """Converted once per process: that takes half a second, and every API of this process has the same types."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[GenericError, InvalidStateError],
        execution_context_class=Executor,
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=False),
    )
