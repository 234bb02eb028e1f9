"""The table of contents: every question, every command, everything that can be watched."""

from collections.abc import AsyncGenerator, Callable, Iterable
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
from schema.node import Node
from schema.organization import Organization
from schema.provisioning_options import ProvisioningOptions, SlugCheck
from schema.scalars import SCALARS
from schema.tenant import Tenant
from schema.tenant_connection import TenantConnection
from schema.timeline import ProvisioningEvent
from schema.user_errors import GenericError, InvalidStateError
from schema.viewer import RateLimit, Viewer


@strawberry.type(description="Reading.")
class Query:
    """Questions."""

    node: Node | None = strawberry.field(
        resolver=nodes.node,
        description="Any object by its global id, null when it does not exist or is hidden.",
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=nodes.nodes,
        description="Several objects by global id, in order, null for each that is missing. At most 100.",
    )
    viewer: Viewer = strawberry.field(resolver=organizations.viewer, description="The caller.")
    organization: Organization | None = strawberry.field(
        resolver=organizations.organization, description="The caller's organisation; support may name another."
    )
    tenant: Tenant | None = strawberry.field(resolver=tenants.tenant, description="One tenant by its id.")
    tenant_by_slug: Tenant | None = strawberry.field(
        resolver=tenants.tenant_by_slug, description="One live tenant by slug."
    )
    tenants: TenantConnection = strawberry.field(resolver=tenants.tenants, description="Tenants the caller may see.")
    slug_check: SlugCheck = strawberry.field(
        resolver=provisioning_options.slug_check,
        description="Whether a tenant could be created under this slug now, for forms of those who may create tenants. "
        "createTenant decides: somebody may be faster, and in rare cases another organisation holds the same address.",
    )
    provisioning_options: ProvisioningOptions = strawberry.field(
        resolver=provisioning_options.provisioning_options,
        description="What createTenant and updateTenant may be given.",
    )
    audit_events: AuditEventConnection = strawberry.field(
        resolver=audit.audit_events,
        description="The audit feed, newest first. Without a tenant or run in the filter it ends where a transaction "
        "that is still open could add something, so that nobody who follows its cursors misses an entry.",
    )
    rate_limit: RateLimit = strawberry.field(
        resolver=organizations.rate_limit, description="The caller's budget and what this operation took from it."
    )


def _mutation(resolver: Callable[..., Any], description: str) -> Any:  # noqa: ANN401  # as strawberry.mutation is typed
    """A field of Mutation with its one argument, which every mutation has."""
    field = strawberry.mutation(resolver=resolver, description=description)
    (argument,) = field.arguments
    argument.description = "What the call is about; its fields are described with the type."
    return field


@strawberry.type(description="Writing. A payload is null only when the server failed unexpectedly.")
class Mutation:
    """Commands."""

    create_tenant: tenant_mutations.CreateTenantPayload | None = _mutation(
        resolver=provisioning.create_tenant, description="Record a tenant and start provisioning it."
    )
    update_tenant: tenant_mutations.UpdateTenantPayload | None = _mutation(
        resolver=provisioning.update_tenant, description="Correct a tenant."
    )
    cancel_provisioning: tenant_mutations.CancelProvisioningPayload | None = _mutation(
        resolver=provisioning.cancel_provisioning,
        description="Ask an in-flight provisioning to stop and be undone.",
    )
    cancel_provisionings: tenant_mutations.CancelProvisioningsPayload | None = _mutation(
        resolver=bulk_cancel.cancel_provisionings,
        description="Cancel many at once; answers per tenant. Some are on record before others, each for good: a call "
        "that broke off may be repeated, and tells of those that were.",
    )
    retry_provisioning: tenant_mutations.RetryProvisioningPayload | None = _mutation(
        resolver=provisioning.retry_provisioning, description="Start the next run of a PENDING or FAILED tenant."
    )
    resume_compensation: tenant_mutations.ResumeCompensationPayload | None = _mutation(
        resolver=provisioning.resume_compensation, description="Go on undoing a STUCK run."
    )
    suspend_tenant: tenant_mutations.SuspendTenantPayload | None = _mutation(
        resolver=lifecycle.suspend_tenant, description="Pause traffic; everything is kept."
    )
    resume_tenant: tenant_mutations.ResumeTenantPayload | None = _mutation(
        resolver=lifecycle.resume_tenant, description="Serve again."
    )
    decommission_tenant: tenant_mutations.DecommissionTenantPayload | None = _mutation(
        resolver=lifecycle.decommission_tenant, description="Release everything for good and free the slug."
    )
    recreate_tenant: tenant_mutations.RecreateTenantPayload | None = _mutation(
        resolver=lifecycle.recreate_tenant,
        description="A fresh tenant under the slug of a decommissioned one.",
    )
    resend_welcome_emails: tenant_mutations.ResendWelcomeEmailsPayload | None = _mutation(
        resolver=provisioning.resend_welcome_emails,
        description="Send the welcome mails of an ACTIVE tenant again.",
    )

    invite_member: member.InviteMemberPayload | None = _mutation(
        resolver=members.invite_member,
        description="Record a member, who joins by signing in with the identity provider within two weeks.",
    )
    change_member_role: member.ChangeMemberRolePayload | None = _mutation(
        resolver=members.change_member_role, description="Give a member another role, or hand the ownership over."
    )
    remove_member: member.RemoveMemberPayload | None = _mutation(
        resolver=members.remove_member, description="Forget a member, whose access ends within seconds."
    )
    create_service_account: service_account.CreateServiceAccountPayload | None = _mutation(
        resolver=members.create_service_account,
        description="Create the identity of a partner's program. The answer has its API token, shown this once.",
    )
    update_service_account: service_account.UpdateServiceAccountPayload | None = _mutation(
        resolver=members.update_service_account, description="Change what a service account may."
    )
    rotate_service_account_token: service_account.RotateServiceAccountTokenPayload | None = _mutation(
        resolver=members.rotate_service_account_token,
        description="Issue a service account's next API token. The answer has it, shown this once.",
    )
    revoke_service_account: service_account.RevokeServiceAccountPayload | None = _mutation(
        resolver=members.revoke_service_account,
        description="End a service account for good; its access ends within seconds.",
    )


@strawberry.type(description="Watching.")
class Subscription:
    """What can be watched."""

    tenant_provisioning: AsyncGenerator[ProvisioningEvent, None] = strawberry.subscription(
        resolver=subscriptions.tenant_provisioning,
        description="Timeline of the tenant's newest run: what happened so far, then what happens, then the end. "
        "Resume with after: nothing is skipped, nothing comes twice.",
    )
    audit_event_added: AsyncGenerator[AuditEvent, None] = strawberry.subscription(
        resolver=audit.audit_event_added, description="The audit feed as it grows. Resume with after."
    )


class Schema(strawberry.Schema):
    """Ours logs no error of a client; whoever masks an error of ours logs it."""

    async def _prepare_operation_async(
        self, context: ExecutionContext, extensions_runner: SchemaExtensionsRunner
    ) -> PreExecutionError | None:
        """Parse and validate. What an extension refuses is an error like any other; a stream would break off."""
        try:
            return await super()._prepare_operation_async(context, extensions_runner)
        except GraphQLError as refusal:
            context.pre_execution_errors = [refusal]
            return PreExecutionError(data=None, errors=[refusal])

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Leave them to the extensions."""


def build_schema(extensions: Iterable[Callable[[], SchemaExtension]] = ()) -> Schema:
    """The schema, with what the server wants to do around each operation."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[GenericError, InvalidStateError],
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=False),
        extensions=extensions,
    )
