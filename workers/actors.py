"""The two actors. Each makes one move: claim, perform, record. A stale or duplicate message finds nothing to claim."""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid4

import dramatiq
from dramatiq.middleware import Interrupt, Shutdown
from sqlmodel import Session

from provisioning import engine
from provisioning.error_messages import describe
from provisioning.moves import Backward, Forward
from provisioning.ports import Infrastructure
from provisioning.scarcity import is_scarcity
from provisioning.step_context import StepStopped, StopReason
from provisioning.step_journal import DatabaseJournal
from provisioning.steps import saga
from runtime.database import Database
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.running_steps import RunningSteps

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class StepRunner:
    """Makes moves. Any thread may call it."""

    database: Database
    settings: Settings
    infrastructure: Infrastructure
    running_steps: RunningSteps
    owner: str = field(default_factory=lambda: f"{socket.gethostname()[:80]}:{os.getpid()}")

    def make_move(self, run_id: UUID, move: Forward | Backward) -> None:
        """Claim the move, perform it and record the outcome. Do nothing when the run is not ready for this move.

        A process that is shutting down makes no move: the sweeper of another process sends the wake-up again.
        """
        if self.running_steps.shutting_down:
            return
        claim = self._retry_until_available(
            engine.claim, run_id, move, settings=self.settings, owner=self.owner, token=uuid4()
        )
        if claim is None:
            return

        # No transaction is open during calls to external systems: they may take minutes.
        journal = DatabaseJournal(self.database, self.settings, claim)
        try:
            with self.running_steps.performing(claim) as stop_signal:
                outcome = claim.perform(saga, self.infrastructure, journal, stop_signal, self.settings.pace)
        except (Exception, Interrupt) as error:  # noqa: BLE001  # any error of a step is an outcome
            self._log(claim.run_id, move, error)
            self._retry_until_available(engine.record_failure, claim, _recorded_error(error))
        else:
            self._retry_until_available(engine.record, claim, outcome)

    def _retry_until_available(
        self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Retry while Postgres is unavailable: a lost record costs the rest of a lease. The token fences each try."""
        return self.database.retry_until_available(self.running_steps.drained, work, *args, **kwargs)

    def _log(self, run_id: UUID, move: Forward | Backward, error: BaseException) -> None:
        facts = {"run": run_id, "step": move.step, "direction": type(move).__name__.lower()}
        if isinstance(error, StepStopped):
            logger.info("step stopped: %s", error, extra=facts)
        elif is_scarcity(error):
            logger.info("step waits for capacity", extra={**facts, "cause": describe(error)})
        else:
            logger.warning("step failed", exc_info=error, extra=facts)


def _recorded_error(error: BaseException) -> BaseException:
    """The error to record. A step that exceeds the drain timeout is interrupted: that is not a failure of the step."""
    return StepStopped(StopReason.SHUTTING_DOWN) if isinstance(error, Shutdown) else error


def declare_run_step(broker: dramatiq.Broker, step_runner: StepRunner) -> dramatiq.Actor[[str, str], None]:
    """Declare the actor that performs steps."""

    @dramatiq.actor(broker=broker, queue_name=FORWARD_QUEUE, max_retries=0)
    def run_step(run_id: str, step: str) -> None:
        step_runner.make_move(UUID(run_id), Forward(step))

    return run_step


def declare_compensate_step(broker: dramatiq.Broker, step_runner: StepRunner) -> dramatiq.Actor[[str, str], None]:
    """Declare the actor that performs compensations."""

    @dramatiq.actor(broker=broker, queue_name=COMPENSATION_QUEUE, max_retries=0)
    def compensate_step(run_id: str, step: str) -> None:
        step_runner.make_move(UUID(run_id), Backward(step))

    return compensate_step
