"""Mutations of an organisation's members and service accounts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from access import members, service_accounts
from access.members import Invitation
from access.permissions import SCOPES, Permission
from access.service_accounts import AccountChanges, Grantor, IssuedToken, NewAccount
from models import Member as MemberRow
from models import ServiceAccount as AccountRow
from provisioning.idempotency import Outcome, Performed
from resolvers.mutations import mutation, run_command
from schema.context import Context, Info
from schema.member import (
    ChangeMemberRoleInput,
    ChangeMemberRolePayload,
    InviteMemberInput,
    InviteMemberPayload,
    Member,
    MemberEdge,
    MemberInput,
    RemoveMemberInput,
    RemoveMemberPayload,
)
from schema.node import global_id, uuid_of
from schema.pagination import given
from schema.service_account import (
    CreateServiceAccountInput,
    CreateServiceAccountPayload,
    RevokeServiceAccountInput,
    RevokeServiceAccountPayload,
    RotateServiceAccountTokenInput,
    RotateServiceAccountTokenPayload,
    ServiceAccount,
    ServiceAccountInput,
    UpdateServiceAccountInput,
    UpdateServiceAccountPayload,
)

Row = TypeVar("Row", MemberRow, AccountRow)


@mutation(Permission.MANAGE_MEMBERS, InviteMemberPayload)
async def invite_member(info: Info, input: InviteMemberInput) -> InviteMemberPayload | None:
    """Record a member who joins by signing in."""
    invitation = Invitation(input.email, input.role, given(input.name))
    row = await _member(info.context, await run_command(info, input, members.invite, _outcome, wanted=invitation))
    return InviteMemberPayload(member=Member.of_optional(row), member_edge=MemberEdge.of(row) if row else None)


@mutation(Permission.MANAGE_MEMBERS, ChangeMemberRolePayload)
async def change_member_role(info: Info, input: ChangeMemberRoleInput) -> ChangeMemberRolePayload | None:
    """Give a member another role, which counts from the member's next call."""
    performed = await run_command(
        info, input, members.change_role, _outcome, member_id=partial(_member_id, input), role=input.role
    )
    return ChangeMemberRolePayload(member=Member.of_optional(await _member(info.context, performed)))


@mutation(Permission.MANAGE_MEMBERS, RemoveMemberPayload)
async def remove_member(info: Info, input: RemoveMemberInput) -> RemoveMemberPayload | None:
    """Remove a member. The member's access and subscriptions end within seconds."""
    performed = await run_command(info, input, members.remove, _outcome, member_id=partial(_member_id, input))
    return RemoveMemberPayload(removed_member_id=global_id("Member", _key(performed)))


@mutation(Permission.MANAGE_MEMBERS, CreateServiceAccountPayload)
async def create_service_account(info: Info, input: CreateServiceAccountInput) -> CreateServiceAccountPayload | None:
    """Create a service account, with no right that the caller does not hold."""
    issued = await run_command(
        info,
        input,
        service_accounts.create,
        _issued_outcome,
        wanted=partial(_new_account, input),
        grantor=_grantor(info.context),
    )
    account = ServiceAccount.of_optional(await _issued_account(info.context, issued))
    return CreateServiceAccountPayload(service_account=account, token=_token(issued))


@mutation(Permission.MANAGE_MEMBERS, UpdateServiceAccountPayload)
async def update_service_account(info: Info, input: UpdateServiceAccountInput) -> UpdateServiceAccountPayload | None:
    """Change the values that the input gives."""
    performed = await run_command(
        info,
        input,
        service_accounts.update,
        _outcome,
        account_id=partial(_account_id, input),
        wanted=partial(_account_changes, input),
        grantor=_grantor(info.context),
    )
    account = ServiceAccount.of_optional(await _account(info.context, performed))
    return UpdateServiceAccountPayload(service_account=account)


@mutation(Permission.MANAGE_MEMBERS, RotateServiceAccountTokenPayload)
async def rotate_service_account_token(
    info: Info, input: RotateServiceAccountTokenInput
) -> RotateServiceAccountTokenPayload | None:
    """Issue a new token. The old token stops working at once, or after the overlap."""
    overlap = given(input.overlap) or timedelta(0)
    issued = await run_command(
        info, input, service_accounts.rotate, _issued_outcome, account_id=partial(_account_id, input), overlap=overlap
    )
    account = ServiceAccount.of_optional(await _issued_account(info.context, issued))
    return RotateServiceAccountTokenPayload(service_account=account, token=_token(issued))


@mutation(Permission.MANAGE_MEMBERS, RevokeServiceAccountPayload)
async def revoke_service_account(info: Info, input: RevokeServiceAccountInput) -> RevokeServiceAccountPayload | None:
    """Revoke an account for good. Its access and subscriptions end within seconds."""
    performed = await run_command(
        info, input, service_accounts.revoke, _outcome, account_id=partial(_account_id, input)
    )
    account = ServiceAccount.of_optional(await _account(info.context, performed))
    return RevokeServiceAccountPayload(service_account=account)


def _outcome(row: MemberRow | AccountRow) -> Outcome:
    return {"id": str(row.id)}


def _issued_outcome(issued: IssuedToken) -> Outcome:
    """The outcome without the token, so that a repeat of the call returns none."""
    return {"id": str(issued.account.id)}


def _key(performed: Performed[MemberRow]) -> UUID:
    return UUID(performed.outcome["id"])


def _token(issued: Performed[IssuedToken]) -> str | None:
    return issued.result.token if issued.result else None


async def _member(context: Context, performed: Performed[MemberRow]) -> MemberRow | None:
    return performed.result or await _as_it_is(context, performed.outcome, members.members_by_id)


async def _account(context: Context, performed: Performed[AccountRow]) -> AccountRow | None:
    return performed.result or await _as_it_is(context, performed.outcome, service_accounts.accounts_by_id)


async def _issued_account(context: Context, issued: Performed[IssuedToken]) -> AccountRow | None:
    if issued.result:
        return issued.result.account
    return await _as_it_is(context, issued.outcome, service_accounts.accounts_by_id)


async def _as_it_is(context: Context, outcome: Outcome, read: Callable[..., Mapping[UUID, Row]]) -> Row | None:
    """The object of an earlier call, as it is now."""
    key = UUID(outcome["id"])
    return (await context.transact(read, [key], by=context.actor)).get(key)


def _grantor(context: Context) -> Grantor:
    return Grantor(held=frozenset(context.caller.scopes) & SCOPES, known=SCOPES)


def _new_account(input: CreateServiceAccountInput) -> NewAccount:
    return NewAccount(
        name=input.name,
        scopes=input.scopes,
        tenant_ids=_tenants(given(input.tenant_ids)),
        expires_at=given(input.expires_at),
    )


def _account_changes(input: UpdateServiceAccountInput) -> AccountChanges:
    return AccountChanges(
        name=given(input.name),
        scopes=given(input.scopes),
        tenant_ids=_tenants(given(input.tenant_ids)),
        all_tenants=input.tenant_ids is None,
        expires_at=given(input.expires_at),
        never_expires=input.expires_at is None,
    )


def _member_id(input: MemberInput) -> UUID:
    return uuid_of("Member", input.member_id, called="member")


def _account_id(input: ServiceAccountInput) -> UUID:
    return uuid_of("ServiceAccount", input.service_account_id, called="service account")


def _tenants(ids: Sequence[str] | None) -> list[UUID] | None:
    return None if ids is None else [uuid_of("Tenant", one, called="tenant") for one in ids]
