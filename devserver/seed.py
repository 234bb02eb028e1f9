"""The seed data: two organisations with members and a service account."""

from sqlmodel import Session, col, select

from models import Member, Organisation, Role, ServiceAccount
from runtime.database import clock

ORGANISATIONS = {"acme": "Acme", "globex": "Globex"}
PEOPLE = {Role.OWNER: "Olive Owner", Role.ADMIN: "Adam Admin", Role.VIEWER: "Vera Viewer"}
PLAN = "pro"
PARTNER = "Partner integration"
PARTNER_SCOPES = ["tenants:read", "tenants:write", "tenants:cancel", "audit:read", "audit:export"]


def seed(session: Session) -> None:
    """Create the organisations that do not exist. Existing ones are not changed."""
    for slug, name in ORGANISATIONS.items():
        if session.exec(select(Organisation).where(col(Organisation.slug) == slug)).first() is None:
            _create(session, slug, name)


def _create(session: Session, slug: str, name: str) -> None:
    now = clock(session)
    organisation = Organisation(slug=slug, name=name, plan_code=PLAN, created_at=now)
    session.add(organisation)
    session.flush()
    for role, person in PEOPLE.items():
        email = f"{role.value.lower()}@{slug}.example"
        session.add(Member(organisation_id=organisation.id, email=email, name=person, role=role, created_at=now))
    session.add(ServiceAccount(organisation_id=organisation.id, name=PARTNER, scopes=PARTNER_SCOPES, created_at=now))
