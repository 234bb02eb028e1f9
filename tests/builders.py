"""Values that tests of adapters share: settings, resource names, a workload order, a stop token."""

from uuid import uuid4

from models import Resource, ResourceStatus, Run
from models.columns import new_id
from provisioning.ports import WorkloadOrder
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StopReason, StopSignal
from runtime.settings import Settings
from tests.conftest import SECRET_KEY


class ManualStopToken:
    """The ``StopToken`` of a step, cancelled by ``stop()``."""

    def __init__(self) -> None:
        self._stop_signal = StopSignal()

    def stop(self) -> None:
        self._stop_signal.set(StopReason.CANCELLED)

    def sleep(self, seconds: float) -> None:
        self._stop_signal.wait(seconds)

    def checkpoint(self) -> None:
        self._stop_signal.check()


def fresh_names(run_number: int = 1) -> ResourceNames:
    return ResourceNames(new_id(), f"shop-{uuid4().hex[:12]}", run_number)


def order_for(names: ResourceNames) -> WorkloadOrder:
    return WorkloadOrder(names, "shop", "acme", "eu-central", "pro", f"{names.address}.localhost")


def settings_with(database_url: str, **more: object) -> Settings:
    known = {"database_url": database_url, "redis_url": "redis://127.0.0.1:1/0", "secret_key": SECRET_KEY}
    return Settings.model_validate(known | more)


def stray_resource(run: Run) -> Resource:
    """A row of the ledger that no step of the run releases."""
    return Resource(
        run_id=run.id,
        tenant_id=run.tenant_id,
        step="no_step",
        kind="disk",
        name="stray",
        status=ResourceStatus.INTENDED,
        intended_at=run.created_at,
    )
