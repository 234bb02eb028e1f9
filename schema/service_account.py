"""A service account in the GraphQL schema, with the inputs and payloads of its mutations."""

from datetime import datetime, timedelta

import strawberry

from access.permissions import SCOPES
from models import ServiceAccount as AccountRow
from provisioning.pagination import Page
from schema.described import described_type
from schema.mutation_base import MutationInput, MutationPayload, VersionedInput, mutation_input, mutation_payload
from schema.node import Node, global_id
from schema.pagination import EDGES, PAGE_INFO, Cursors, Edge, PageInfo, instant, key

CURSORS = Cursors("service accounts", (instant, key))
"""Cursors of all organisations; ``below`` returns those of one."""


@described_type
class ServiceAccount(Node):
    """The identity of a partner's program, which calls with an API token. It never shows a token.

    Only callers with the right members:manage can read service accounts.
    """

    name: str = strawberry.field(description="Display name, 1 to 80 characters.")
    scopes: list[str] = strawberry.field(description="Rights of the account, as scopes such as tenants:read.")
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of the tenants that the account is limited to; null means every tenant of the "
        "organisation."
    )
    version: int = strawberry.field(
        description="1 at first, one more after each update, rotation and revocation. Pass it as expectedVersion so "
        "that a mutation is refused when the account has changed since you read it."
    )
    created_at: datetime = strawberry.field(description="When the account was created, in UTC.")
    expires_at: datetime | None = strawberry.field(
        description="When its tokens stop working; null means never. The account stays in the list after that."
    )
    last_used_at: datetime | None = strawberry.field(
        description="When the account last called, up to five minutes too early; null before its first call."
    )
    revoked_at: datetime | None = strawberry.field(
        description="When the account was revoked, which is final; null while it is not."
    )
    previous_token_until: datetime | None = strawberry.field(
        description="When the token from before the last rotation stops working; the time can be in the past. Null "
        "when that token stopped at once, or the account has no earlier token."
    )

    @classmethod
    def of(cls, row: AccountRow) -> "ServiceAccount":
        """Convert a row."""
        limited = row.tenant_ids
        return cls(
            id=global_id("ServiceAccount", row.id),
            name=row.name,
            scopes=list(row.scopes),
            tenant_ids=None if limited is None else [global_id("Tenant", one) for one in limited],
            version=row.version,
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
            previous_token_until=row.previous_token_until,
        )

    @classmethod
    def of_optional(cls, row: AccountRow | None) -> "ServiceAccount | None":
        """Convert a row, or None."""
        return cls.of(row) if row else None


@described_type
class ServiceAccountEdge(Edge):
    """One service account with its position in the list."""

    node: ServiceAccount = strawberry.field(description="The service account at this position.")


@described_type
class ServiceAccountConnection:
    """A page of service accounts, in the order in which they were created."""

    edges: list[ServiceAccountEdge] = strawberry.field(description=EDGES)
    page_info: PageInfo = strawberry.field(description=PAGE_INFO)

    @classmethod
    def of(cls, page: Page[AccountRow]) -> "ServiceAccountConnection":
        """Convert a page of rows."""
        edges = [
            ServiceAccountEdge(
                cursor=CURSORS.below(row.organisation_id).write((row.created_at, row.id)),
                node=ServiceAccount.of(row),
            )
            for row in page.rows
        ]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))


@mutation_input
class TokenInput(MutationInput):
    """The input of a mutation that issues an API token."""

    idempotency_key: str | None = strawberry.field(
        description="1 to 255 characters. A repeat of the call with the same key and input, within 24 hours, issues no "
        "second token and returns none. A refused call can be repeated. The header Idempotency-Key does the same.",
        default=strawberry.UNSET,
    )


@mutation_input
class CreateServiceAccountInput(TokenInput):
    """The service account to create, with its rights. An organisation has at most 200 that are not revoked."""

    name: str = strawberry.field(description="Display name, 1 to 80 characters.")
    scopes: list[str] = strawberry.field(
        description=f"One or more of {', '.join(sorted(SCOPES))}. FORBIDDEN for one that the caller does not have."
    )
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of the tenants to limit the account to, at most 500. Absent: every tenant of the "
        "organisation. An empty list: no tenant.",
        default=strawberry.UNSET,
    )
    expires_at: datetime | None = strawberry.field(
        description="When its tokens stop working: a time in the future. Never when absent.", default=strawberry.UNSET
    )


@mutation_input
class ServiceAccountInput(VersionedInput):
    """The input of a mutation of one service account."""

    service_account_id: strawberry.ID = strawberry.field(description="Global id of the service account.")


@mutation_input
class UpdateServiceAccountInput(ServiceAccountInput):
    """The values to change. A value that is left out is not changed."""

    name: str | None = strawberry.field(description="New display name, 1 to 80 characters.", default=strawberry.UNSET)
    scopes: list[str] | None = strawberry.field(
        description="All rights that the account has from now on. FORBIDDEN for one that neither the account nor the "
        "caller has.",
        default=strawberry.UNSET,
    )
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of all tenants to limit the account to, at most 500. Null removes the limit.",
        default=strawberry.UNSET,
    )
    expires_at: datetime | None = strawberry.field(
        description="When its tokens stop working: a time in the future. Null means never.", default=strawberry.UNSET
    )


@mutation_input
class RotateServiceAccountTokenInput(ServiceAccountInput, TokenInput):
    """The service account that needs a new API token."""

    overlap: timedelta | None = strawberry.field(
        description="How long the old token works beside the new one, at most seven days. Absent: it stops at once.",
        default=strawberry.UNSET,
    )


@mutation_input
class RevokeServiceAccountInput(ServiceAccountInput):
    """The service account to revoke, which is final. Revoking it again changes nothing."""


@mutation_payload
class ServiceAccountPayload(MutationPayload):
    """The payload of a mutation of one service account."""

    service_account: ServiceAccount | None = strawberry.field(
        description="The service account after the call; null when the call was refused.", default=None
    )


@mutation_payload
class TokenPayload(ServiceAccountPayload):
    """The payload of a mutation that issues an API token."""

    token: str | None = strawberry.field(
        description="The new API token, returned only once: store it now. Null when the call was refused, and for a "
        "repeat with the same idempotency key.",
        default=None,
    )


@mutation_payload
class CreateServiceAccountPayload(TokenPayload):
    """The service account that createServiceAccount created and its API token, or the reasons for a refusal."""


@mutation_payload
class UpdateServiceAccountPayload(ServiceAccountPayload):
    """The service account that updateServiceAccount changed, or the reasons for a refusal."""


@mutation_payload
class RotateServiceAccountTokenPayload(TokenPayload):
    """The service account with its new API token, or the reasons for a refusal."""


@mutation_payload
class RevokeServiceAccountPayload(ServiceAccountPayload):
    """The service account that revokeServiceAccount revoked, or the reasons for a refusal."""
