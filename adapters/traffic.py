"""A tenant's host name, reserved by one run at a time, which its stem identifies."""

from sqlalchemy import func
from sqlmodel import Session, col, select

from adapters.absence import confirm_absent
from adapters.inventory import Inventory
from models import HostName
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from runtime.database import Database

RESERVATIONS = Inventory(HostName, gone="released_at")


class HostNames:
    """Keeps the reservations in the product's database, where a unique index allows one holder per name."""

    def __init__(self, database: Database, domain: str) -> None:
        self._database = database
        self._domain = domain

    def reserve(self, names: ResourceNames) -> None:
        """Reserve the host name. Raises Refused when another run holds it, or when this run has released it."""
        self._database.transact(_reserve, self._name(names), names)

    def release(self, names: ResourceNames) -> None:
        """Release the host name, and refuse it to this run from now on."""
        self._database.transact(_release, self._name(names), names)
        confirm_absent(self.present(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Return the host name if this run holds it."""
        name = self._name(names)
        held = self._database.transact(RESERVATIONS.holds, name=name, claimant=names.stem)
        return [name] if held else []

    def _name(self, names: ResourceNames) -> str:
        return f"{names.address}.{self._domain}"


def _reserve(session: Session, name: str, names: ResourceNames) -> None:
    now = func.clock_timestamp()
    if not RESERVATIONS.hold(session, name=name, claimant=names.stem, tenant_id=names.tenant_id, reserved_at=now):
        raise Refused(f"The host name {name} is held by {_holder(session, name)}; release that one first.")


def _release(session: Session, name: str, names: ResourceNames) -> None:
    now = func.clock_timestamp()
    RESERVATIONS.bury(session, name=name, claimant=names.stem, tenant_id=names.tenant_id, reserved_at=now)


def _holder(session: Session, name: str) -> str:
    held = select(HostName.claimant).where(HostName.name == name, col(HostName.released_at).is_(None))
    return session.exec(held).first() or "a run that is just releasing it"
