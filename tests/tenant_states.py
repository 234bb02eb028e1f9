"""Ready-made test situations: a tenant in any state, a run with a claimed pivot, a snapshot of all rows."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import update
from sqlmodel import SQLModel, col, select

from models import FOLLOW_UPS, Event, Resource, Run, RunStatus, RunStep, StepRole, StepStatus, Tenant, TenantState
from models.columns import new_id
from provisioning import commands
from provisioning.claims import Claim
from provisioning.moves import Forward
from provisioning.ports import Refused
from provisioning.steps import saga
from runtime.database import clock
from tests.run_harness import RunHarness

STEPS = [step.name for step in saga if step.role is StepRole.STEP]
UP_TO_THE_PIVOT = [step.name for step in saga if step.role not in FOLLOW_UPS]
PIVOT = "mark_active"
MAIL = "send_welcome_emails"

ADAPTER_CALLS = {
    "allocate_storage": ("storage.create", "storage.destroy"),
    "allocate_identity": ("identity.create", "identity.destroy"),
    "allocate_traffic": ("traffic.reserve", "traffic.release"),
    "apply_schema": ("storage.migrate", None),
    "deploy_workloads": ("deployer.deploy", "deployer.tear_down"),
    "await_readiness": ("deployer.health", None),
}
"""The adapter call of each step, and the call that undoes it."""

UNDOABLE = [step for step, (_, undo) in ADAPTER_CALLS.items() if undo]


def bring_tenant_to(harness: RunHarness, state: TenantState) -> None:
    """Create the harness's tenant and bring it into a state, by commands and moves."""
    SCENARIOS[state](harness)
    assert harness.tenant().state is state


def claim_pivot(harness: RunHarness) -> Claim:
    """Claim the pivot of a run with steps that are only marked as done: fast enough for tests with many races."""
    change = harness.create(slug=f"shop-{new_id().hex[-12:]}")
    assert change.run is not None
    with harness.database.transaction() as session:
        now = clock(session)
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == change.run.id, col(RunStep.role) == StepRole.STEP)
            .values(status=StepStatus.DONE, started_at=now, finished_at=now)
        )
        session.execute(
            update(Run).where(col(Run.id) == change.run.id).values(status=RunStatus.RUNNING, started_at=now)
        )
    return harness.claim(Forward(PIVOT))


def tenants_of(harness: RunHarness) -> list[Tenant]:
    """The tenants of the harness's organisation."""
    wanted = select(Tenant).where(Tenant.organisation_id == harness.organisation.id)
    return harness.read(lambda session: list(session.exec(wanted)))


def all_rows(harness: RunHarness) -> list[dict[str, Any]]:
    """Every row of the harness's tenant, sorted."""
    queries: list[tuple[type[SQLModel], Any]] = [
        (Tenant, col(Tenant.id) == harness.tenant_id),
        (Run, col(Run.tenant_id) == harness.tenant_id),
        (RunStep, col(RunStep.run_id).in_(select(Run.id).where(Run.tenant_id == harness.tenant_id))),
        (Event, col(Event.tenant_id) == harness.tenant_id),
        (Resource, col(Resource.tenant_id) == harness.tenant_id),
    ]
    with harness.database.transaction() as session:
        rows = [
            row.model_dump() for model, condition in queries for row in session.exec(select(model).where(condition))
        ]
    return sorted(rows, key=repr)


def compensated_steps(harness: RunHarness) -> list[str]:
    """Names of the compensated steps of all runs, in the order of their events."""
    types = ("provisioning.step_compensated", "deprovisioning.step_completed")
    return [line.split()[1] for line in harness.event_lines() if line.startswith(types)]


def fail_permanently(harness: RunHarness) -> None:
    """Fail the run's next step without retry, and let the run end."""
    harness.record_failure(harness.claim(), Refused("No."))
    harness.make_moves()


def _pending(harness: RunHarness) -> None:
    harness.create(start=False)


def _provisioning(harness: RunHarness) -> None:
    harness.create()


def _active(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves()


def _suspended(harness: RunHarness) -> None:
    _active(harness)
    harness.transact(commands.suspend_tenant, harness.tenant_id, by=harness.operator)


def _failed(harness: RunHarness) -> None:
    harness.create()
    fail_permanently(harness)


def _decommissioning(harness: RunHarness) -> None:
    _active(harness)
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")


def _decommissioned(harness: RunHarness) -> None:
    _pending(harness)
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator)


SCENARIOS: dict[TenantState, Callable[[RunHarness], None]] = {
    TenantState.PENDING: _pending,
    TenantState.PROVISIONING: _provisioning,
    TenantState.ACTIVE: _active,
    TenantState.SUSPENDED: _suspended,
    TenantState.FAILED: _failed,
    TenantState.DECOMMISSIONING: _decommissioning,
    TenantState.DECOMMISSIONED: _decommissioned,
}
