"""What the mutations of members and service accounts take and answer."""

from datetime import datetime, timedelta

import strawberry

from models import Role
from schema.member import Member, MemberEdge
from schema.service_account import ServiceAccount
from schema.user_errors import UserError

KEY = "Makes a repeat of this call safe for 24 hours."
KEY_OF_TOKEN = "Makes a repeat of this call safe for 24 hours. A repeat issues no second token and shows none."  # noqa: S105  # a sentence


@strawberry.input(description="Input of inviteMember.")
class InviteMemberInput:
    """Input of inviteMember."""

    email: str = strawberry.field(
        description="Address that the person's identity provider has verified. No mail is sent."
    )
    role: Role = strawberry.field(description="ADMIN or VIEWER.")
    name: str | None = strawberry.field(
        description="Name to show; what stands before the address's @ when absent.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY, default=strawberry.UNSET)


@strawberry.input(description="Input of changeMemberRole.")
class ChangeMemberRoleInput:
    """Input of changeMemberRole."""

    member_id: strawberry.ID = strawberry.field(description="The member.")
    role: Role = strawberry.field(
        description="New role. OWNER hands the ownership over: the owner alone may, and becomes an ADMIN."
    )
    expected_version: int | None = strawberry.field(
        description="Only when the member still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY, default=strawberry.UNSET)


@strawberry.input(description="Input of removeMember.")
class RemoveMemberInput:
    """Input of removeMember."""

    member_id: strawberry.ID = strawberry.field(description="The member; never the owner.")
    expected_version: int | None = strawberry.field(
        description="Only when the member still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY, default=strawberry.UNSET)


@strawberry.input(description="Input of createServiceAccount.")
class CreateServiceAccountInput:
    """Input of createServiceAccount."""

    name: str = strawberry.field(description="Name to show.")
    scopes: list[str] = strawberry.field(description="Rights to give; none that the caller does not hold.")
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Tenants to limit it to, at most 500; every tenant when absent.", default=strawberry.UNSET
    )
    expires_at: datetime | None = strawberry.field(
        description="When it stops being good; never when absent.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY_OF_TOKEN, default=strawberry.UNSET)


@strawberry.input(description="Input of updateServiceAccount. What is left out stays as it is.")
class UpdateServiceAccountInput:
    """Input of updateServiceAccount."""

    service_account_id: strawberry.ID = strawberry.field(description="The service account.")
    name: str | None = strawberry.field(description="New name.", default=strawberry.UNSET)
    scopes: list[str] | None = strawberry.field(
        description="All the rights that it is to hold; none that neither it nor the caller holds.",
        default=strawberry.UNSET,
    )
    tenant_ids: list[strawberry.ID] | None = strawberry.field(
        description="Tenants to limit it to; null lets it reach every tenant.", default=strawberry.UNSET
    )
    expires_at: datetime | None = strawberry.field(
        description="When it stops being good; null means never.", default=strawberry.UNSET
    )
    expected_version: int | None = strawberry.field(
        description="Only when the account still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY, default=strawberry.UNSET)


@strawberry.input(description="Input of rotateServiceAccountToken.")
class RotateServiceAccountTokenInput:
    """Input of rotateServiceAccountToken."""

    service_account_id: strawberry.ID = strawberry.field(description="The service account.")
    overlap: timedelta | None = strawberry.field(
        description="How long the old token stays good beside the new one, at most seven days; not at all when absent.",
        default=strawberry.UNSET,
    )
    expected_version: int | None = strawberry.field(
        description="Only when the account still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY_OF_TOKEN, default=strawberry.UNSET)


@strawberry.input(description="Input of revokeServiceAccount.")
class RevokeServiceAccountInput:
    """Input of revokeServiceAccount."""

    service_account_id: strawberry.ID = strawberry.field(description="The service account.")
    expected_version: int | None = strawberry.field(
        description="Only when the account still has this version.", default=strawberry.UNSET
    )
    idempotency_key: str | None = strawberry.field(description=KEY, default=strawberry.UNSET)


@strawberry.type(description="Result of inviteMember.")
class InviteMemberPayload:
    """Result of inviteMember."""

    member: Member | None = strawberry.field(description="The member after the call, null when it was refused.")
    member_edge: MemberEdge | None = strawberry.field(description="The same as an edge, for lists kept by the client.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of changeMemberRole.")
class ChangeMemberRolePayload:
    """Result of changeMemberRole."""

    member: Member | None = strawberry.field(description="The member after the call, null when it was refused.")
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of removeMember.")
class RemoveMemberPayload:
    """Result of removeMember."""

    removed_member_id: strawberry.ID | None = strawberry.field(
        description="Global id of the member that is gone, null when the call was refused."
    )
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of createServiceAccount.")
class CreateServiceAccountPayload:
    """Result of createServiceAccount."""

    service_account: ServiceAccount | None = strawberry.field(
        description="The account after the call, null when it was refused."
    )
    token: str | None = strawberry.field(
        description="Its API token, shown this once. Null when the call was refused, or repeated with its key."
    )
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of updateServiceAccount.")
class UpdateServiceAccountPayload:
    """Result of updateServiceAccount."""

    service_account: ServiceAccount | None = strawberry.field(
        description="The account after the call, null when it was refused."
    )
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of rotateServiceAccountToken.")
class RotateServiceAccountTokenPayload:
    """Result of rotateServiceAccountToken."""

    service_account: ServiceAccount | None = strawberry.field(
        description="The account after the call, null when it was refused."
    )
    token: str | None = strawberry.field(
        description="Its new API token, shown this once. Null when the call was refused, or repeated with its key."
    )
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")


@strawberry.type(description="Result of revokeServiceAccount.")
class RevokeServiceAccountPayload:
    """Result of revokeServiceAccount."""

    service_account: ServiceAccount | None = strawberry.field(
        description="The account after the call, null when it was refused."
    )
    user_errors: list[UserError] = strawberry.field(description="Refusals, empty on success.")
