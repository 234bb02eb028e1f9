"""The availability check of a slug, for forms that show it before createTenant is called."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

from models import Organisation
from provisioning import queries, validation
from provisioning.actors import Actor
from provisioning.errors import Malformed, Taken


@dataclass(frozen=True, slots=True)
class SlugAvailability:
    """The address that the slug gives, if it is valid, and why the slug cannot be used, if so."""

    slug: str
    address: str | None = None
    problem: str | None = None


def slug_availability(session: Session, slug: str, *, organisation_id: UUID, by: Actor) -> SlugAvailability:
    """Whether createTenant would accept the slug now, as far as the organisation's own tenants are concerned.

    Only createTenant decides: another caller can take the slug first. This check does not reveal that another
    organisation has the same address (ADR 18); createTenant does.
    """
    try:
        address = validation.address_of(
            validation.check_slug(slug), session.get_one(Organisation, organisation_id).slug
        )
    except Malformed as refusal:
        return SlugAvailability(slug, problem=str(refusal))
    held = queries.tenant_of_slug(session, slug, by=by)
    return SlugAvailability(slug, address, problem=str(Taken("slug", slug)) if held else None)
