"""A whole worker process with real Dramatiq and Valkey: from the cancel's commit to PENDING, at every step."""

from benchmarks.figures import Samples, await_condition
from models import StepRole, TenantState
from provisioning.steps import saga
from runtime.settings import Settings, WorldKind
from tests.stage import Stage, stage_in
from workers.courier import Courier
from workers.process import WorkerProcess


def run(settings: Settings, rounds: int) -> None:
    """Activate undisturbed, then cancel beside each step, so that both stand in one table."""
    settings = settings.model_copy(update={"world": WorldKind.SIMULATED})
    process = WorkerProcess(settings)
    process.start()
    courier = Courier(settings)
    try:
        with stage_in(settings) as stage:
            stage.database.deliver = courier
            _activate(stage, rounds)
            for step in [step.name for step in saga if step.role is StepRole.STEP]:
                _cancel_at(stage, step, max(rounds // 4, 3))
    finally:
        process.stop()
        courier.close()


def _activate(stage: Stage, rounds: int) -> None:
    samples = Samples("createTenant to ACTIVE")
    for number in range(rounds):
        with samples.timed():
            stage.create(f"live-{number}")
            await_condition(lambda: stage.tenant().state is TenantState.ACTIVE)
    samples.report()


def _cancel_at(stage: Stage, step: str, rounds: int) -> None:
    samples = Samples(f"cancel at {step} to PENDING")
    while rounds:
        stage.create(f"gone-{step.replace('_', '-')}-{rounds}"[:40])
        await_condition(lambda: stage.step(step).started_at is not None)
        with samples.timed():
            stage.cancel()
            await_condition(lambda: stage.tenant().state is TenantState.PENDING)
        rounds -= 1
    samples.report()
