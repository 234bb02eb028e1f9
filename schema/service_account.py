"""A service account, as those clients see it who may manage them: never its token."""

from datetime import datetime, timedelta

import strawberry

from models import ServiceAccount as AccountRow
from provisioning.pagination import Page
from schema.mutation_base import MutationInput, MutationPayload, VersionedInput, mutation_input, mutation_payload
from schema.node import Node, global_id
from schema.pagination import Cursors, PageInfo, instant, key

CURSORS = Cursors("service accounts", (instant, key))
"""Of all organisations; ``below`` gives those of one."""


@strawberry.type(description="The machine identity of a partner's integration.")
class ServiceAccount(Node):
    """A service account."""

    id: strawberry.ID = strawberry.field(description="Global id.")
    name: str = strawberry.field(description="Name to show.")
    scopes: list[str] = strawberry.field(description="Rights it holds, as scope names.")
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Global ids of the tenants it is limited to; null means every tenant of the organisation."
    )
    version: int = strawberry.field(
        description="Grows by one with every change. Pass it as expectedVersion to guard a mutation."
    )
    created_at: datetime = strawberry.field(description="When it was created.")
    expires_at: datetime | None = strawberry.field(description="When it stops being good; null means never.")
    last_used_at: datetime | None = strawberry.field(
        description="When it last called, to within five minutes; null when it never did."
    )
    revoked_at: datetime | None = strawberry.field(description="When it was revoked, null while it was not.")
    previous_token_until: datetime | None = strawberry.field(
        description="Until when the token before the last rotation is good as well, null when it is not."
    )

    @classmethod
    def of(cls, row: AccountRow) -> "ServiceAccount":
        """What clients see of a row."""
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
        """What clients see of a row, if there is one."""
        return cls.of(row) if row else None


@strawberry.type(description="One service account in a page.")
class ServiceAccountEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Cursor of this item.")
    node: ServiceAccount = strawberry.field(description="The service account.")


@strawberry.type(description="A page of service accounts.")
class ServiceAccountConnection:
    """A page."""

    edges: list[ServiceAccountEdge] = strawberry.field(description="Edges, with cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    def of(cls, page: Page[AccountRow]) -> "ServiceAccountConnection":
        """What clients see of a page."""
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
        description="Makes a repeat of this call safe for 24 hours: a repeat issues no second token and shows none.",
        default=strawberry.UNSET,
    )


@mutation_input
class CreateServiceAccountInput(TokenInput):
    """The service account to create, and what it may do."""

    name: str = strawberry.field(description="Name to show, 1 to 80 characters.")
    scopes: list[str] = strawberry.field(description="Rights to give; none that the caller does not hold.")
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Tenants to limit it to, at most 500; every tenant when absent.", default=strawberry.UNSET
    )
    expires_at: datetime | None = strawberry.field(
        description="When its tokens stop working; never when absent.", default=strawberry.UNSET
    )


@mutation_input
class ServiceAccountInput(VersionedInput):
    """The input of a mutation of one service account."""

    service_account_id: strawberry.ID = strawberry.field(description="Global id of the service account to change.")


@mutation_input
class UpdateServiceAccountInput(ServiceAccountInput):
    """The values to change. A value that is left out stays as it is."""

    name: str | None = strawberry.field(description="New name, 1 to 80 characters.", default=strawberry.UNSET)
    scopes: list[str] | None = strawberry.field(
        description="All the rights that it is to hold; none that neither it nor the caller holds.",
        default=strawberry.UNSET,
    )
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Tenants to limit it to; null lets it reach every tenant.", default=strawberry.UNSET
    )
    expires_at: datetime | None = strawberry.field(
        description="When its tokens stop working; null means never.", default=strawberry.UNSET
    )


@mutation_input
class RotateServiceAccountTokenInput(ServiceAccountInput, TokenInput):
    """The service account to issue a new API token for."""

    overlap: timedelta | None = strawberry.field(
        description="How long the old token keeps working beside the new one, at most seven days; "
        "it stops at once when absent.",
        default=strawberry.UNSET,
    )


@mutation_input
class RevokeServiceAccountInput(ServiceAccountInput):
    """The service account to revoke for good."""


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
        description="The new API token, shown in this answer only. Null when the call was refused, and for a repeat "
        "with the same idempotency key.",
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
