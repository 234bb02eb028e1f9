"""Whether a slug could be a tenant's, for whoever asks before insisting on it."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

from models import Organisation
from provisioning import queries, validation
from provisioning.actors import Actor
from provisioning.errors import Malformed, Taken


@dataclass(frozen=True, slots=True)
class SlugAvailability:
    """The address that a slug makes, if it makes one, and what is in its way, if anything is."""

    slug: str
    address: str | None = None
    problem: str | None = None


def slug_availability(session: Session, slug: str, *, organisation_id: UUID, by: Actor) -> SlugAvailability:
    """What createTenant would say of a slug now, as far as the organisation itself goes.

    It alone decides: somebody may be faster. And an address that another organisation holds (ADR 18) is told to nobody
    who does not insist.
    """
    try:
        address = validation.address_of(validation.check_slug(slug), session.get_one(Organisation, organisation_id))
    except Malformed as refusal:
        return SlugAvailability(slug, problem=str(refusal))
    held = queries.tenant_of_slug(session, slug, by=by)
    return SlugAvailability(slug, address, problem=str(Taken("slug", slug)) if held else None)
