"""Managing an organisation's people and their programs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from sqlmodel import Session

from access import members, service_accounts
from access.members import Invitation
from access.permissions import SCOPES, Permission
from access.service_accounts import AccountChanges, Giver, Issued, NewAccount
from models import Member as MemberRow
from models import ServiceAccount as AccountRow
from provisioning.idempotency import Once, Outcome
from resolvers.mutations import KeyedInput, attempt, run_once
from schema.arguments import WHAT_TO_CREATE, WHAT_TO_DO
from schema.context import Context, Info
from schema.managing import (
    ChangeMemberRoleInput,
    ChangeMemberRolePayload,
    CreateServiceAccountInput,
    CreateServiceAccountPayload,
    InviteMemberInput,
    InviteMemberPayload,
    RemoveMemberInput,
    RemoveMemberPayload,
    RevokeServiceAccountInput,
    RevokeServiceAccountPayload,
    RotateServiceAccountTokenInput,
    RotateServiceAccountTokenPayload,
    UpdateServiceAccountInput,
    UpdateServiceAccountPayload,
)
from schema.member import Member, MemberEdge
from schema.node import global_id, uuid_of
from schema.pagination import given
from schema.service_account import ServiceAccount
from schema.user_errors import UserError

Row = TypeVar("Row", MemberRow, AccountRow)


@dataclass(frozen=True, slots=True)
class Managed(Generic[Row]):
    """What came of it: the row, with a token that was issued; only its key, when an earlier call did it."""

    key: UUID | None = None
    row: Row | None = None
    token: str | None = field(default=None, repr=False)
    user_errors: list[UserError] = field(default_factory=list)


async def invite_member(info: Info, input: Annotated[InviteMemberInput, WHAT_TO_CREATE]) -> InviteMemberPayload | None:
    """The person joins by signing in."""
    wanted = Invitation(input.email, input.role, given(input.name))
    done = await _manage(info, input, lambda session: members.invite(session, wanted, by=info.context.actor))
    row = await _member(info.context, done)
    edge = MemberEdge.of(row) if row else None
    return InviteMemberPayload(member=Member.of_optional(row), member_edge=edge, user_errors=done.user_errors)


async def change_member_role(
    info: Info, input: Annotated[ChangeMemberRoleInput, WHAT_TO_DO]
) -> ChangeMemberRolePayload | None:
    """It counts from the member's next call."""

    def work(session: Session) -> MemberRow:
        key = uuid_of("Member", input.member_id, called="member")
        return members.change_role(
            session, key, input.role, by=info.context.actor, expected_version=given(input.expected_version)
        )

    done = await _manage(info, input, work)
    row = await _member(info.context, done)
    return ChangeMemberRolePayload(member=Member.of_optional(row), user_errors=done.user_errors)


async def remove_member(info: Info, input: Annotated[RemoveMemberInput, WHAT_TO_DO]) -> RemoveMemberPayload | None:
    """It counts from the member's next call, and ends what the member watches."""

    def work(session: Session) -> MemberRow:
        key = uuid_of("Member", input.member_id, called="member")
        return members.remove(session, key, by=info.context.actor, expected_version=given(input.expected_version))

    done = await _manage(info, input, work)
    gone = global_id("Member", done.key) if done.key else None
    return RemoveMemberPayload(removed_member_id=gone, user_errors=done.user_errors)


async def create_service_account(
    info: Info, input: Annotated[CreateServiceAccountInput, WHAT_TO_CREATE]
) -> CreateServiceAccountPayload | None:
    """Nobody gives what they do not hold."""
    context = info.context

    def work(session: Session) -> Issued:
        wanted = NewAccount(
            name=input.name,
            scopes=input.scopes,
            tenant_ids=_tenants(given(input.tenant_ids)),
            expires_at=given(input.expires_at),
        )
        return service_accounts.create(session, wanted, by=context.actor, giver=_giver(context))

    done = await _manage(info, input, work)
    account = ServiceAccount.of_optional(await _account(context, done))
    return CreateServiceAccountPayload(service_account=account, token=done.token, user_errors=done.user_errors)


async def update_service_account(
    info: Info, input: Annotated[UpdateServiceAccountInput, WHAT_TO_DO]
) -> UpdateServiceAccountPayload | None:
    """What was left out stays as it is."""
    context = info.context

    def work(session: Session) -> AccountRow:
        wanted = AccountChanges(
            name=given(input.name),
            scopes=given(input.scopes),
            tenant_ids=_tenants(given(input.tenant_ids)),
            unlimited=input.tenant_ids is None,
            expires_at=given(input.expires_at),
            unending=input.expires_at is None,
        )
        return service_accounts.update(
            session,
            _key(input),
            wanted,
            by=context.actor,
            giver=_giver(context),
            expected_version=given(input.expected_version),
        )

    done = await _manage(info, input, work)
    account = ServiceAccount.of_optional(await _account(context, done))
    return UpdateServiceAccountPayload(service_account=account, user_errors=done.user_errors)


async def rotate_service_account_token(
    info: Info, input: Annotated[RotateServiceAccountTokenInput, WHAT_TO_DO]
) -> RotateServiceAccountTokenPayload | None:
    """The old token is void at once, or after the overlap."""
    context = info.context

    def work(session: Session) -> Issued:
        overlap = given(input.overlap) or timedelta(0)
        return service_accounts.rotate(
            session, _key(input), overlap, by=context.actor, expected_version=given(input.expected_version)
        )

    done = await _manage(info, input, work)
    account = ServiceAccount.of_optional(await _account(context, done))
    return RotateServiceAccountTokenPayload(service_account=account, token=done.token, user_errors=done.user_errors)


async def revoke_service_account(
    info: Info, input: Annotated[RevokeServiceAccountInput, WHAT_TO_DO]
) -> RevokeServiceAccountPayload | None:
    """For good: it counts from the account's next call, and ends what it watches."""
    context = info.context

    def work(session: Session) -> AccountRow:
        return service_accounts.revoke(
            session, _key(input), by=context.actor, expected_version=given(input.expected_version)
        )

    done = await _manage(info, input, work)
    account = ServiceAccount.of_optional(await _account(context, done))
    return RevokeServiceAccountPayload(service_account=account, user_errors=done.user_errors)


async def _manage(info: Info, input: KeyedInput, work: Callable[[Session], Any]) -> Managed[Any]:
    """Do it, once for each key; a refusal becomes user errors."""
    managed, user_errors = await attempt(info, Permission.MANAGE_MEMBERS, input, _once, work)
    return managed or Managed(user_errors=user_errors)


def _once(session: Session, work: Callable[[Session], Any], call: Once | None) -> Managed[Any]:
    """The token of an account is not kept with the outcome: whoever repeats the call is shown none."""
    made: list[Any] = []

    def do() -> Outcome:
        made.append(work(session))
        session.flush()
        return {"id": str(_row_of(made[0]).id)}

    key = UUID(run_once(session, call, do)["id"])
    if not made:
        return Managed(key)
    return Managed(key, _row_of(made[0]), made[0].token if isinstance(made[0], Issued) else None)


def _row_of(made: Any) -> Any:  # noqa: ANN401  # a member, an account, or an account with its token
    return made.account if isinstance(made, Issued) else made


async def _member(context: Context, done: Managed[MemberRow]) -> MemberRow | None:
    return await _as_it_is(context, done, members.members_by_id)


async def _account(context: Context, done: Managed[AccountRow]) -> AccountRow | None:
    return await _as_it_is(context, done, service_accounts.accounts_by_id)


async def _as_it_is(context: Context, done: Managed[Row], read: Callable[..., Mapping[UUID, Row]]) -> Row | None:
    if done.row is not None or done.key is None:
        return done.row
    return (await context.transact(read, [done.key], by=context.actor)).get(done.key)


def _giver(context: Context) -> Giver:
    return Giver(held=frozenset(context.caller.scopes) & SCOPES, known=SCOPES)


def _key(input: Any) -> UUID:  # noqa: ANN401  # any input that names a service account
    return uuid_of("ServiceAccount", input.service_account_id, called="service account")


def _tenants(ids: Sequence[str] | None) -> list[UUID] | None:
    return None if ids is None else [uuid_of("Tenant", one, called="tenant") for one in ids]
