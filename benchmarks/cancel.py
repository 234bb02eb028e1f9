"""The time from a cancel to PENDING at every step, with a real worker process, Dramatiq and Valkey."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from benchmarks.figures import Samples, await_condition
from models import StepRole, TenantState
from provisioning.steps import saga
from runtime.settings import Settings, WorldKind
from tests.run_harness import RunHarness, run_harness_in
from workers.dispatcher import Dispatcher
from workers.process import WorkerProcess

PACE = timedelta(seconds=0.2)
"""How long a step takes that is to be cancelled: a run that is kept passes a step without work in less than a poll."""


def run(settings: Settings, rounds: int) -> None:
    """Measure activation without a cancel, then a cancel during each step."""
    settings = settings.model_copy(update={"world": WorldKind.SIMULATED})
    with working(settings) as harness:
        _activate(harness, rounds)
    with working(settings.model_copy(update={"pace": PACE})) as harness:
        for step in [step.name for step in saga if step.role is StepRole.STEP]:
            _cancel_at(harness, step, max(rounds // 4, 3))


@contextmanager
def working(settings: Settings) -> Iterator[RunHarness]:
    """A harness whose wake-ups reach a worker process."""
    process, dispatcher = WorkerProcess(settings), Dispatcher(settings)
    process.start()
    try:
        with run_harness_in(settings) as harness:
            harness.database.deliver = dispatcher
            yield harness
    finally:
        process.stop()
        dispatcher.close()


def _activate(harness: RunHarness, rounds: int) -> None:
    samples = Samples("createTenant to ACTIVE")
    for number in range(rounds):
        with samples.timed():
            harness.create(f"live-{number}")
            await_condition(lambda: harness.tenant().state is TenantState.ACTIVE)
    samples.report()


def _cancel_at(harness: RunHarness, step: str, rounds: int) -> None:
    samples = Samples(f"cancel at {step} to PENDING")
    while rounds:
        harness.create(f"gone-{step.replace('_', '-')}-{rounds}"[:40])
        await_condition(lambda: harness.step(step).started_at is not None)
        with samples.timed():
            harness.cancel()
            await_condition(lambda: harness.tenant().state is TenantState.PENDING)
        rounds -= 1
    samples.report()
