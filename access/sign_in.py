"""Sign-in: binds the verified identity of an identity provider to the invited member, once."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from access.members import has_address
from access.principals import MemberBySubject, Principal, load_principal, member_principal
from models import Member, Organisation
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from runtime.database import clock
from runtime.email_addresses import InvalidAddress

INVITATION_LIFETIME = timedelta(days=14)
"""After this time an invitation has expired and has to be repeated."""


class NotAMember(Exception):
    """The verified identity belongs to no member. The message is for the person who signs in."""


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """An identity that an identity provider has verified. ``email`` is None unless the provider verified it too.

    ``missing_claim`` is the claim of the token because of which ``email`` is None.
    """

    subject: str
    email: str | None
    organisation: str | None = None
    missing_claim: str | None = None


def sign_in(session: Session, identity: VerifiedIdentity) -> Principal:
    """Bind the invitations of the verified address to the subject, and return its principal. Raises NotAMember.

    A member with a subject is never bound to another one: an address can pass to another person.
    """
    unusable = None
    try:
        for member in _invitations(session, identity):
            _join(session, member, identity.subject)
    except InvalidAddress as refusal:
        unusable = str(refusal)
    found = load_principal(session, MemberBySubject(identity.subject, identity.organisation))
    if found is None:
        raise NotAMember(unusable or _reason(session, identity))
    return found


def _invitations(session: Session, identity: VerifiedIdentity) -> list[Member]:
    """Members with the verified address who never signed in, locked. Raises InvalidAddress."""
    if identity.email is None:
        return []
    bound = aliased(Member)
    already_bound = select(col(bound.id)).where(
        col(bound.subject) == identity.subject, col(bound.organisation_id) == col(Member.organisation_id)
    )
    invited = (
        select(Member)
        .join(Organisation, col(Organisation.id) == col(Member.organisation_id))
        .where(
            has_address(identity.email),
            col(Member.subject).is_(None),
            or_(
                col(Member.invited_at).is_(None), col(Member.invited_at) > func.clock_timestamp() - INVITATION_LIFETIME
            ),
            ~already_bound.exists(),
        )
    )
    if identity.organisation is not None:
        invited = invited.where(col(Organisation.slug) == identity.organisation)
    locked = invited.order_by(col(Member.id)).with_for_update(of=Member)
    return list(session.scalars(locked.execution_options(populate_existing=True)))


def _join(session: Session, member: Member, subject: str) -> None:
    member.subject, member.joined_at = subject, clock(session)
    session.add(member)
    facts = {"member_id": str(member.id), "name": member.name, "role": member.role.value}
    emit_for_organisation(
        session, member.organisation_id, EventType.MEMBER_JOINED, facts, by=member_principal(member).actor
    )


def _reason(session: Session, identity: VerifiedIdentity) -> str:
    several = select(func.count()).select_from(Member).where(col(Member.subject) == identity.subject)
    if identity.organisation is None and (session.scalar(several) or 0) > 1:
        return "You belong to several organisations: choose one with the header Tenantry-Organization."
    if identity.missing_claim is not None:
        return (
            "Sign-in failed: the token has no verified e-mail address, because the claim "
            f"{identity.missing_claim} is missing or not valid."
        )
    return "You are not a member: ask for an invitation to the address that your identity provider has verified."
