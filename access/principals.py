"""Loads the principal that a token names, as it is now."""

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
"""``last_used_at`` of a service account is written at most this often. A write for each request would cost too much."""


@dataclass(frozen=True, slots=True)
class MemberById:
    """A member, named by a token that Tenantry issued."""

    member_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True)
class MemberBySubject:
    """A member, named by the subject of an identity provider.

    Without ``organisation`` the subject must belong to exactly one organisation.
    """

    subject: str
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class AccountById:
    """A service account, named by a token that Tenantry issued."""

    account_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True)
class AccountByToken:
    """A service account, named by the stored digest of its API token."""

    token_sha256: str


@dataclass(frozen=True, slots=True)
class Staff:
    """A person of the platform's support staff. There is no table of them: the short-lived token has all facts."""

    staff_id: UUID
    name: str
    email: str


PrincipalRef = MemberById | MemberBySubject | AccountById | AccountByToken | Staff
T = TypeVar("T", MemberById, MemberBySubject, AccountById, AccountByToken, Staff)


@dataclass(frozen=True, slots=True)
class Principal:
    """An actor with its role or scopes, and the time at which they expire."""

    actor: Actor
    role: Role | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    last_used_is_stale: bool = field(default=False, compare=False)


def load_principals(session: Session, refs: Collection[PrincipalRef]) -> dict[PrincipalRef, Principal]:
    """The current principal of each reference. Removed, revoked and expired ones are missing in the result."""
    found: dict[PrincipalRef, Principal] = {}
    found.update({ref: _of_staff(ref) for ref in _only(Staff, refs)})
    found.update(_members_by_id(session, _only(MemberById, refs)))
    found.update(_members_by_subject(session, _only(MemberBySubject, refs)))
    found.update(_accounts_by_id(session, _only(AccountById, refs)))
    found.update(_accounts_by_token(session, _only(AccountByToken, refs)))
    return found


def load_principal(session: Session, ref: PrincipalRef) -> Principal | None:
    """The current principal, or None. Also records that a service account was used."""
    found = load_principals(session, [ref]).get(ref)
    if found is not None and found.last_used_is_stale:
        _record_use(session, found.actor.id)
    return found


def _only(kind: type[T], refs: Collection[PrincipalRef]) -> frozenset[T]:
    return frozenset(ref for ref in refs if isinstance(ref, kind))


def _of_staff(ref: Staff) -> Principal:
    return Principal(Actor(ActorKind.SUPPORT, ref.staff_id, ref.name, ref.email))


def _members_by_id(session: Session, refs: Collection[MemberById]) -> Iterator[tuple[MemberById, Principal]]:
    if not refs:
        return
    for row in session.scalars(
        select(Member).where(col(Member.id) == _any([ref.member_id for ref in refs], UUID_ARRAY))
    ):
        ref = MemberById(row.id, row.organisation_id)
        if ref in refs:
            yield ref, member_principal(row)


def _members_by_subject(
    session: Session, refs: Collection[MemberBySubject]
) -> Iterator[tuple[MemberBySubject, Principal]]:
    """Index: one_member_per_subject."""
    if not refs:
        return
    rows = session.execute(
        select(Member, col(Organisation.slug))
        .join(Organisation, col(Organisation.id) == col(Member.organisation_id))
        .where(col(Member.subject) == _any([ref.subject for ref in refs], TEXT_ARRAY))
    ).all()
    by_subject: dict[str | None, list[tuple[Member, str]]] = defaultdict(list)
    for row, slug in rows:
        by_subject[row.subject].append((row, slug))
    for ref in refs:
        matches = [row for row, slug in by_subject[ref.subject] if ref.organisation in {None, slug}]
        if len(matches) == 1:
            yield ref, member_principal(matches[0])


def _accounts_by_id(session: Session, refs: Collection[AccountById]) -> Iterator[tuple[AccountById, Principal]]:
    if not refs:
        return
    ids = _any([ref.account_id for ref in refs], UUID_ARRAY)
    for row in session.scalars(select(ServiceAccount).where(_usable(), col(ServiceAccount.id) == ids)):
        ref = AccountById(row.id, row.organisation_id)
        if ref in refs:
            yield ref, _of_account(row, row.expires_at)


def _accounts_by_token(
    session: Session, refs: Collection[AccountByToken]
) -> Iterator[tuple[AccountByToken, Principal]]:
    """Indexes: the unique indexes on the two digests."""
    if not refs:
        return
    digests = {ref.token_sha256 for ref in refs}
    any_digest = _any(list(digests), TEXT_ARRAY)
    previous = and_(
        col(ServiceAccount.previous_token_sha256) == any_digest,
        col(ServiceAccount.previous_token_until) > func.clock_timestamp(),
    )
    accounts = select(ServiceAccount).where(_usable(), or_(col(ServiceAccount.token_sha256) == any_digest, previous))
    for row in session.scalars(accounts):
        if row.token_sha256 in digests:
            yield AccountByToken(row.token_sha256), _of_account(row, row.expires_at)
        if row.previous_token_sha256 in digests:
            ends = [end for end in (row.expires_at, row.previous_token_until) if end is not None]
            yield AccountByToken(row.previous_token_sha256), _of_account(row, min(ends))


def member_principal(row: Member) -> Principal:
    """The principal of a member's row."""
    return Principal(Actor(ActorKind.USER, row.id, row.name, row.email, row.organisation_id), row.role)


def _of_account(row: ServiceAccount, expires_at: datetime | None) -> Principal:
    limited = frozenset(row.tenant_ids) if row.tenant_ids is not None else None
    actor = Actor(ActorKind.INTEGRATION, row.id, row.name, None, row.organisation_id, limited)
    # This machine's clock is exact enough: it only decides whether ``last_used_at`` is written.
    stale = row.last_used_at is None or row.last_used_at < datetime.now(UTC) - LAST_USED_RESOLUTION
    return Principal(actor, None, frozenset(row.scopes), expires_at, stale)


def _usable() -> ColumnElement[bool]:
    """The condition under which a service account is neither revoked nor expired."""
    return and_(
        col(ServiceAccount.revoked_at).is_(None),
        or_(col(ServiceAccount.expires_at).is_(None), col(ServiceAccount.expires_at) > func.clock_timestamp()),
    )


def _any(values: Sequence[object], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """One array parameter: there may be more references than a statement can have parameters."""
    return any_(literal(values, kind))


def _record_use(session: Session, account_id: UUID) -> None:
    """Record the use, unless another transaction has locked the account: then a later request records it."""
    free = select(col(ServiceAccount.id)).where(col(ServiceAccount.id) == account_id)
    session.execute(
        update(ServiceAccount)
        .where(col(ServiceAccount.id).in_(free.with_for_update(skip_locked=True, key_share=True)))
        .values(last_used_at=func.clock_timestamp())
        .execution_options(synchronize_session=False)
    )
