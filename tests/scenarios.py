"""Ready-made situations: a tenant in any state, a run at the brink, and a picture of everything to compare with."""

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


def bring_to(harness: RunHarness, state: TenantState) -> None:
    """Create the stage's tenant and bring it into a state, by commands and moves."""
    SCENES[state](harness)
    assert harness.tenant().state is state


def to_the_brink(harness: RunHarness) -> Claim:
    """Claim the pivot of a run whose steps are said to be done, though nothing was: for races by the hundred."""
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


def everything(harness: RunHarness) -> list[dict[str, Any]]:
    """Every row that belongs to the stage's tenant."""
    belongs: list[tuple[type[SQLModel], Any]] = [
        (Tenant, col(Tenant.id) == harness.tenant_id),
        (Run, col(Run.tenant_id) == harness.tenant_id),
        (RunStep, col(RunStep.run_id).in_(select(Run.id).where(Run.tenant_id == harness.tenant_id))),
        (Event, col(Event.tenant_id) == harness.tenant_id),
        (Resource, col(Resource.tenant_id) == harness.tenant_id),
    ]
    with harness.database.transaction() as session:
        rows = [row.model_dump() for model, mine in belongs for row in session.exec(select(model).where(mine))]
    return sorted(rows, key=repr)


def undone(harness: RunHarness) -> list[str]:
    """The steps whose undo is on record, in order, of every run."""
    done = ("provisioning.step_compensated", "deprovisioning.step_completed")
    return [line.split()[1] for line in harness.story() if line.startswith(done)]


def fail_for_good(harness: RunHarness) -> None:
    """Let the run's next step be refused, and play it to its end."""
    harness.fail(harness.claim(), Refused("No."))
    harness.play()


def _pending(harness: RunHarness) -> None:
    harness.create(start=False)


def _provisioning(harness: RunHarness) -> None:
    harness.create()


def _active(harness: RunHarness) -> None:
    harness.create()
    harness.play()


def _suspended(harness: RunHarness) -> None:
    _active(harness)
    harness.do(commands.suspend_tenant, harness.tenant_id, by=harness.operator)


def _failed(harness: RunHarness) -> None:
    harness.create()
    fail_for_good(harness)


def _decommissioning(harness: RunHarness) -> None:
    _active(harness)
    harness.do(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")


def _decommissioned(harness: RunHarness) -> None:
    _pending(harness)
    harness.do(commands.decommission_tenant, harness.tenant_id, by=harness.operator)


SCENES: dict[TenantState, Callable[[RunHarness], None]] = {
    TenantState.PENDING: _pending,
    TenantState.PROVISIONING: _provisioning,
    TenantState.ACTIVE: _active,
    TenantState.SUSPENDED: _suspended,
    TenantState.FAILED: _failed,
    TenantState.DECOMMISSIONING: _decommissioning,
    TenantState.DECOMMISSIONED: _decommissioned,
}
