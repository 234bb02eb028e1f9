"""The deployer of the built-in shared runtime: a workload is a row, healthy when all of its parts are."""

from collections.abc import Callable
from functools import partial

from sqlalchemy import func
from sqlmodel import Session

from adapters.guarded_calls import LONGEST_CALL, call_for_this_step, call_interruptibly
from adapters.identity import NoSigningKey, PostgresIdentity
from adapters.inventory import Inventory
from adapters.sealing import SealBroken
from models import Workload
from provisioning.ports import Health, StopToken, Storage, Traffic, WorkloadOrder
from provisioning.resource_names import ResourceNames
from runtime.database import Database

WORKLOADS = Inventory(Workload, gone="torn_down_at")

Part = tuple[str, Callable[[ResourceNames], bool]]


class EdgeDeployer:
    """Registers workloads in the product's database. The edge serves the workloads of active tenants."""

    def __init__(
        self, database: Database, storage: Storage, identity: PostgresIdentity, traffic: Traffic, domain: str
    ) -> None:
        self._database = database
        self._storage = storage
        self._identity = identity
        self._traffic = traffic
        self._domain = domain

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Register the workload. Raises Refused once it was torn down."""
        call_interruptibly(
            lambda: self._database.transact(_register, order.names, order.host_name),
            stop_token,
            within=LONGEST_CALL,
        )

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """Check each part in order. The summary names the first that is missing."""
        parts = self._parts()
        for found, (missing, is_present) in enumerate(parts):
            if not call_interruptibly(partial(is_present, names), stop_token, within=LONGEST_CALL):
                return Health(ready=False, percent=100 * found // len(parts), summary=missing)
        return Health(ready=True, percent=100, summary="Every part of the workload is in place.")

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        """Remove the workload, and refuse its name from now on."""
        return not call_interruptibly(lambda: self._remove(names), stop_token, within=LONGEST_CALL)

    def present(self, names: ResourceNames) -> list[str]:
        """Return the workload's name if it is registered."""
        return call_for_this_step(lambda: self._present(names))

    def _remove(self, names: ResourceNames) -> list[str]:
        self._database.transact(_tear_down, names, f"{names.address}.{self._domain}")
        return self._present(names)

    def _present(self, names: ResourceNames) -> list[str]:
        held = self._database.transact(WORKLOADS.holds, name=names.workload)
        return [names.workload] if held else []

    def _parts(self) -> tuple[Part, ...]:
        return (
            ("The workload is not registered.", lambda names: bool(self._present(names))),
            ("The storage is missing.", self._has_storage),
            ("The signing key cannot be used.", self._can_sign),
            ("The host name is not reserved.", lambda names: bool(self._traffic.present(names))),
        )

    def _has_storage(self, names: ResourceNames) -> bool:
        return {names.schema, names.role} <= set(self._storage.present(names))

    def _can_sign(self, names: ResourceNames) -> bool:
        try:
            self._identity.sign(names, {"sub": names.stem})
        except (NoSigningKey, SealBroken):
            return False
        return True


def _register(session: Session, names: ResourceNames, host_name: str) -> None:
    WORKLOADS.hold(session, **_row(names, host_name))


def _tear_down(session: Session, names: ResourceNames, host_name: str) -> None:
    WORKLOADS.bury(session, **_row(names, host_name))


def _row(names: ResourceNames, host_name: str) -> dict[str, object]:
    return {
        "name": names.workload,
        "tenant_id": names.tenant_id,
        "host_name": host_name,
        "signing_key": names.signing_key,
        "storage_schema": names.schema,
        "deployed_at": func.clock_timestamp(),
    }
