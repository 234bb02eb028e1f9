"""Who a caller is at this moment: what the tables say of whoever a token names."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, and_, any_, func, literal, or_, select, update
from sqlalchemy.types import TypeEngine
from sqlmodel import Session, col

from models import ActorKind, Member, Organisation, Role, ServiceAccount
from models.columns import TEXT_ARRAY, UUID_ARRAY
from provisioning.actors import Actor

LAST_USED_RESOLUTION = timedelta(minutes=5)
"""How coarsely a service account's last use is kept: a write for each call would cost more than it tells."""


@dataclass(frozen=True, slots=True)
class MemberById:
    """A person, by a token of our own."""

    member_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True)
class MemberBySubject:
    """A person, by what an identity provider calls them; in this organisation, or in the only one they belong to."""

    subject: str
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class AccountById:
    """A service account, by a token of our own."""

    account_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True)
class AccountByToken:
    """A service account, by what is kept of its API token."""

    token_sha256: str


@dataclass(frozen=True, slots=True)
class Staff:
    """Support of the platform. No table has them: they are whom their short-lived token names."""

    staff_id: UUID
    name: str
    email: str


PrincipalRef = MemberById | MemberBySubject | AccountById | AccountByToken | Staff
T = TypeVar("T", MemberById, MemberBySubject, AccountById, AccountByToken, Staff)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who it is, what gives them their rights, and until when."""

    actor: Actor
    role: Role | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    last_used_is_stale: bool = field(default=False, compare=False)


def load_principals(session: Session, whose: Collection[PrincipalRef]) -> dict[PrincipalRef, Principal]:
    """The standing of each that has one now; whoever was removed, revoked or has expired is missing."""
    found: dict[PrincipalRef, Principal] = {}
    found.update({one: _of_staff(one) for one in _only(Staff, whose)})
    found.update(_members_by_id(session, _only(MemberById, whose)))
    found.update(_members_by_subject(session, _only(MemberBySubject, whose)))
    found.update(_accounts_by_id(session, _only(AccountById, whose)))
    found.update(_accounts_by_token(session, _only(AccountByToken, whose)))
    return found


def load_principal(session: Session, whose: PrincipalRef) -> Principal | None:
    """The standing of somebody who calls now, and that they called."""
    found = load_principals(session, [whose]).get(whose)
    if found is not None and found.last_used_is_stale:
        _record_use(session, found.actor.id)
    return found


def _only(kind: type[T], whose: Collection[PrincipalRef]) -> frozenset[T]:
    return frozenset(one for one in whose if isinstance(one, kind))


def _of_staff(one: Staff) -> Principal:
    return Principal(Actor(ActorKind.SUPPORT, one.staff_id, one.name, one.email))


def _members_by_id(session: Session, wanted: Collection[MemberById]) -> Iterator[tuple[MemberById, Principal]]:
    if not wanted:
        return
    for row in session.scalars(
        select(Member).where(col(Member.id) == _any([one.member_id for one in wanted], UUID_ARRAY))
    ):
        name = MemberById(row.id, row.organisation_id)
        if name in wanted:
            yield name, member_principal(row)


def _members_by_subject(
    session: Session, wanted: Collection[MemberBySubject]
) -> Iterator[tuple[MemberBySubject, Principal]]:
    """Index: one_member_per_subject."""
    if not wanted:
        return
    rows = session.execute(
        select(Member, col(Organisation.slug))
        .join(Organisation, col(Organisation.id) == col(Member.organisation_id))
        .where(col(Member.subject) == _any([one.subject for one in wanted], TEXT_ARRAY))
    ).all()
    by_subject: dict[str | None, list[tuple[Member, str]]] = defaultdict(list)
    for row, slug in rows:
        by_subject[row.subject].append((row, slug))
    for one in wanted:
        mine = [row for row, slug in by_subject[one.subject] if one.organisation in {None, slug}]
        if len(mine) == 1:
            yield one, member_principal(mine[0])


def _accounts_by_id(session: Session, wanted: Collection[AccountById]) -> Iterator[tuple[AccountById, Principal]]:
    if not wanted:
        return
    ids = _any([one.account_id for one in wanted], UUID_ARRAY)
    for row in session.scalars(select(ServiceAccount).where(_usable(), col(ServiceAccount.id) == ids)):
        name = AccountById(row.id, row.organisation_id)
        if name in wanted:
            yield name, _of_account(row, row.expires_at)


def _accounts_by_token(
    session: Session, wanted: Collection[AccountByToken]
) -> Iterator[tuple[AccountByToken, Principal]]:
    """Indexes: the two unique ones on the digests."""
    if not wanted:
        return
    digests = {one.token_sha256 for one in wanted}
    known = _any(list(digests), TEXT_ARRAY)
    before = and_(
        col(ServiceAccount.previous_token_sha256) == known,
        col(ServiceAccount.previous_token_until) > func.clock_timestamp(),
    )
    good = select(ServiceAccount).where(_usable(), or_(col(ServiceAccount.token_sha256) == known, before))
    for row in session.scalars(good):
        if row.token_sha256 in digests:
            yield AccountByToken(row.token_sha256), _of_account(row, row.expires_at)
        if row.previous_token_sha256 in digests:
            ends = [end for end in (row.expires_at, row.previous_token_until) if end is not None]
            yield AccountByToken(row.previous_token_sha256), _of_account(row, min(ends))


def member_principal(row: Member) -> Principal:
    """The standing that a member's row gives."""
    return Principal(Actor(ActorKind.USER, row.id, row.name, row.email, row.organisation_id), row.role)


def _of_account(row: ServiceAccount, expires_at: datetime | None) -> Principal:
    limited = frozenset(row.tenant_ids) if row.tenant_ids is not None else None
    actor = Actor(ActorKind.INTEGRATION, row.id, row.name, None, row.organisation_id, limited)
    # By this machine's clock: it decides only whether a write is worth while.
    stale = row.last_used_at is None or row.last_used_at < datetime.now(UTC) - LAST_USED_RESOLUTION
    return Principal(actor, None, frozenset(row.scopes), expires_at, stale)


def _usable() -> ColumnElement[bool]:
    """The condition under which a service account is good for anything."""
    return and_(
        col(ServiceAccount.revoked_at).is_(None),
        or_(col(ServiceAccount.expires_at).is_(None), col(ServiceAccount.expires_at) > func.clock_timestamp()),
    )


def _any(values: Sequence[object], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """One array: there may be more callers than a statement may have parameters."""
    return any_(literal(values, kind))


def _record_use(session: Session, account_id: UUID) -> None:
    """Whoever is changing the account just now is not waited for: the next call notes it."""
    free = select(col(ServiceAccount.id)).where(col(ServiceAccount.id) == account_id)
    session.execute(
        update(ServiceAccount)
        .where(col(ServiceAccount.id).in_(free.with_for_update(skip_locked=True, key_share=True)))
        .values(last_used_at=func.clock_timestamp())
        .execution_options(synchronize_session=False)
    )
