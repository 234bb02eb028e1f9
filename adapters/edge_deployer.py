"""The deployer of the built-in shared runtime: a workload is a row, and it is healthy when its parts are."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import func
from sqlmodel import Session

from adapters.identity import NoSigningKey, PostgresIdentity
from adapters.interruption import interruptibly
from adapters.inventory import Inventory
from adapters.sealing import SealBroken
from adapters.unhurried import LONGEST_CALL, leaving_in_time
from models import Workload
from provisioning.footprint import Footprint
from provisioning.ports import Health, Patience, Storage, Traffic, WorkloadOrder
from runtime.database import Database

WORKLOADS = Inventory(Workload, gone="torn_down_at")

Part = tuple[str, Callable[[Footprint], bool]]


class EdgeDeployer:
    """Registers workloads in the product's own database. The edge serves those of active tenants."""

    def __init__(
        self, database: Database, storage: Storage, identity: PostgresIdentity, traffic: Traffic, domain: str
    ) -> None:
        self._database = database
        self._storage = storage
        self._identity = identity
        self._traffic = traffic
        self._domain = domain

    def deploy(self, order: WorkloadOrder, patience: Patience) -> None:
        """Register the workload. Raises Refused once it was torn down."""
        interruptibly(
            lambda: self._database.transact(_register, order.footprint, order.host_name), patience, within=LONGEST_CALL
        )

    def health(self, footprint: Footprint, patience: Patience) -> Health:
        """Look at each part in turn, and name the first that is missing."""
        parts = self._parts()
        for found, (sentence, is_there) in enumerate(parts):
            if not interruptibly(partial(is_there, footprint), patience, within=LONGEST_CALL):
                return Health(ready=False, percent=100 * found // len(parts), summary=sentence)
        return Health(ready=True, percent=100, summary="Every part of the workload is in place.")

    def tear_down(self, footprint: Footprint, patience: Patience) -> bool:
        """Take the workload off the register, and refuse it from now on."""
        return not interruptibly(lambda: self._take_off(footprint), patience, within=LONGEST_CALL)

    def present(self, footprint: Footprint) -> list[str]:
        """Give the workload, if it is registered."""
        return leaving_in_time(lambda: self._look_up(footprint))

    def _take_off(self, footprint: Footprint) -> list[str]:
        self._database.transact(_tear_down, footprint, f"{footprint.address}.{self._domain}")
        return self._look_up(footprint)

    def _look_up(self, footprint: Footprint) -> list[str]:
        held = self._database.transact(WORKLOADS.holds, name=footprint.workload)
        return [footprint.workload] if held else []

    def _parts(self) -> tuple[Part, ...]:
        return (
            ("The workload is not registered.", lambda footprint: bool(self._look_up(footprint))),
            ("The storage is not there.", self._has_storage),
            ("The signing key cannot be used.", self._can_sign),
            ("The host name is not reserved.", lambda footprint: bool(self._traffic.present(footprint))),
        )

    def _has_storage(self, footprint: Footprint) -> bool:
        return {footprint.schema, footprint.role} <= set(self._storage.present(footprint))

    def _can_sign(self, footprint: Footprint) -> bool:
        try:
            self._identity.sign(footprint, {"sub": footprint.stem})
        except (NoSigningKey, SealBroken):
            return False
        return True


def _register(session: Session, footprint: Footprint, host_name: str) -> None:
    WORKLOADS.hold(session, **_row(footprint, host_name))


def _tear_down(session: Session, footprint: Footprint, host_name: str) -> None:
    WORKLOADS.bury(session, **_row(footprint, host_name))


def _row(footprint: Footprint, host_name: str) -> dict[str, object]:
    return {
        "name": footprint.workload,
        "tenant_id": footprint.tenant_id,
        "host_name": host_name,
        "signing_key": footprint.signing_key,
        "storage_schema": footprint.schema,
        "deployed_at": func.clock_timestamp(),
    }
