"""Commands on the members of an organisation: invite, change a role, remove."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, collate, func, literal_column, select
from sqlmodel import Session, col

from models import Member, Role
from provisioning import validation
from provisioning.actors import Actor
from provisioning.errors import Malformed, NotFound, NotPermitted, Taken, VersionConflict
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from provisioning.pagination import Order, Page, Window, page_of
from runtime import email_addresses
from runtime.database import clock

MANAGERS = frozenset({Role.OWNER, Role.ADMIN})
MAX_MEMBERS = 1000
"""The most members that one organisation may have."""

OLDEST_FIRST = Order((col(Member.created_at), col(Member.id)))


@dataclass(frozen=True, slots=True)
class Invitation:
    """The input of inviteMember. ``name`` defaults to the part of the address before the @."""

    email: str
    role: Role
    name: str | None = None


def invite(session: Session, wanted: Invitation, *, by: Actor) -> Member:
    """Record an invited member, who joins with the first sign-in. Raises Malformed, Taken, NotPermitted."""
    organisation_id = require_manager(session, by).organisation_id
    email = validation.check_email(wanted.email, "email")
    if wanted.role is Role.OWNER:
        raise Malformed(
            "role",
            "A member cannot be invited as OWNER: choose another role, then transfer ownership with changeMemberRole.",
        )
    _require_capacity(session, organisation_id, email)
    now = clock(session)
    member = Member(
        organisation_id=organisation_id,
        email=email,
        name=validation.check_name(wanted.name or email.partition("@")[0][:80]),
        role=wanted.role,
        created_at=now,
        invited_at=now,
    )
    session.add(member)
    _emit(session, member, EventType.MEMBER_INVITED, by)
    return member


def change_role(
    session: Session, member_id: UUID, role: Role, *, by: Actor, expected_version: int | None = None
) -> Member:
    """Give a member another role. Only the owner can transfer the ownership, and becomes an admin by doing so.

    Raises NotFound, NotPermitted, Malformed, VersionConflict.
    """
    manager, member = _locked_manager_and_member(session, member_id, by, expected_version)
    if role is member.role:
        return member
    if Role.OWNER in {role, member.role} and manager.role is not Role.OWNER:
        raise NotPermitted("change the owner: only the owner can transfer the ownership")
    if member.role is Role.OWNER:
        raise Malformed(
            "role", "The owner's role changes only by a transfer of ownership: give another member the role OWNER."
        )
    if role is Role.OWNER:
        _require_joined(member)
        _set_role(session, manager, Role.ADMIN, by)
    _set_role(session, member, role, by)
    return member


def remove(session: Session, member_id: UUID, *, by: Actor, expected_version: int | None = None) -> Member:
    """Delete a member, which ends the member's access. Raises NotFound, NotPermitted, VersionConflict."""
    _, member = _locked_manager_and_member(session, member_id, by, expected_version)
    if member.role is Role.OWNER:
        raise NotPermitted("remove the owner: transfer the ownership first")
    session.delete(member)
    _emit(session, member, EventType.MEMBER_REMOVED, by)
    return member


def members(session: Session, window: Window, *, by: Actor, of: UUID) -> Page[Member]:
    """A page of the members, oldest first. Index: members_by_creation."""
    visible = select(Member).where(col(Member.organisation_id) == of, col(Member.organisation_id) == by.organisation_id)
    return page_of(session.scalars(OLDEST_FIRST.paginate(visible, window)).all(), window)


def members_by_id(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, Member]:
    """Members with these ids in the actor's own organisation."""
    visible = select(Member).where(col(Member.id).in_(ids), col(Member.organisation_id) == by.organisation_id)
    return {member.id: member for member in session.scalars(visible)}


def has_address(address: str) -> ColumnElement[bool]:
    """Whether a member's address is the same as this one. Raises InvalidAddress. Index: members_by_normal_address."""
    key = func.lower(collate(func.normalize(col(Member.email), literal_column("NFKC")), "C"))
    return key.in_(email_addresses.comparison_keys(address))


def require_manager(session: Session, by: Actor) -> Member:
    """The actor's own row, locked and freshly read, so that a removed permission takes effect at once.

    Raises NotPermitted.
    """
    return _manager_among(_locked(session, by, [by.id]), by)


def require_version(noun: str, current: int, expected: int | None) -> None:
    """Raise VersionConflict unless ``current`` is the expected version. None expects any version."""
    if expected is not None and expected != current:
        raise VersionConflict(expected, current, noun)


def _locked_manager_and_member(
    session: Session, member_id: UUID, by: Actor, expected_version: int | None
) -> tuple[Member, Member]:
    """The actor's row and the member's, locked in the order of ids. Raises NotPermitted, NotFound, VersionConflict."""
    found = _locked(session, by, [by.id, member_id])
    manager = _manager_among(found, by)
    if member_id not in found:
        raise NotFound("member")
    require_version("member", found[member_id].version, expected_version)
    return manager, found[member_id]


def _locked(session: Session, by: Actor, ids: Sequence[UUID]) -> dict[UUID, Member]:
    rows = session.scalars(
        select(Member)
        .where(col(Member.organisation_id) == by.organisation_id, col(Member.id).in_(ids))
        .order_by(col(Member.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def _manager_among(found: dict[UUID, Member], by: Actor) -> Member:
    manager = found.get(by.id)
    if manager is None or manager.role not in MANAGERS:
        raise NotPermitted("manage members and service accounts: only the owner and the admins can")
    return manager


def _require_capacity(session: Session, organisation_id: UUID, email: str) -> None:
    members = select(Member).where(col(Member.organisation_id) == organisation_id)
    # Two invitations in one organisation run one after the other, so that neither misses the other's row.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(str(organisation_id), 0))))
    if session.scalars(members.where(has_address(email))).first() is not None:
        raise Taken("email", email, by="member")
    if (session.scalar(select(func.count()).select_from(members.subquery())) or 0) >= MAX_MEMBERS:
        raise Malformed("email", f"An organisation has at most {MAX_MEMBERS} members: remove one first.")


def _require_joined(member: Member) -> None:
    if member.invited_at is not None and member.joined_at is None:
        raise Malformed(
            "role", "This member has not signed in yet and cannot become the owner: ask the member to sign in first."
        )


def _set_role(session: Session, member: Member, role: Role, by: Actor) -> None:
    before, member.role = member.role, role
    member.version += 1
    session.add(member)
    session.flush()  # before the next role is set: there is one owner at any time
    _emit(session, member, EventType.MEMBER_ROLE_CHANGED, by, before=before.value)


def _emit(session: Session, member: Member, event_type: EventType, by: Actor, **more: str) -> None:
    """Emit an event without the member's address: readers of the feed may lack access to addresses."""
    facts = {"member_id": str(member.id), "name": member.name, "role": member.role.value, **more}
    emit_for_organisation(session, member.organisation_id, event_type, facts, by=by)
