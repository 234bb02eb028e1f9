"""The two actors. Each makes moves of one run: claim, perform, record. A stale message finds nothing to claim."""

import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid4

import dramatiq
from dramatiq.middleware import Interrupt, Shutdown

from provisioning import engine
from provisioning.claims import Claim
from provisioning.engine import Apply
from provisioning.error_messages import describe
from provisioning.moves import Backward, Forward
from provisioning.ports import Infrastructure
from provisioning.scarcity import is_scarcity
from provisioning.step_context import StepStopped, StopReason
from provisioning.step_journal import DatabaseJournal
from provisioning.steps import saga
from provisioning.transitions import Lease
from runtime.database import Database, Statements
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.running_steps import RunningSteps

logger = logging.getLogger(__name__)

KEEP_RUN_FOR = 1.0
"""Seconds for which a worker goes on with a run before it takes the next message: a run of short steps needs one
message, also on a busy machine, and no other run waits long behind it."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class StepRunner:
    """Makes moves. Any thread may call it. With ``group``, the threads claim and record together."""

    database: Database
    settings: Settings
    infrastructure: Infrastructure
    running_steps: RunningSteps
    owner: str = field(default_factory=lambda: f"{socket.gethostname()[:80]}:{os.getpid()}")
    keep_for: float = KEEP_RUN_FOR
    group: Apply | None = None

    def make_move(self, run_id: UUID, move: Forward | Backward) -> None:
        """Claim the move, perform it and record the outcome. Do nothing when the run is not ready for this move.

        The run is kept for its next moves in the same direction, for at most ``keep_for`` seconds: the row is read, and
        a cancel is seen, between every two. A process that is shutting down makes no move: the sweeper of another
        process sends the wake-up again.
        """
        if self.running_steps.shutting_down:
            return
        keep_until = time.monotonic() + self.keep_for
        claim = self.claim(run_id, move)
        while claim is not None:
            claim = self._perform(claim, keep_until)

    def claim(self, run_id: UUID, move: Forward | Backward) -> Claim | None:
        """Claim the move. Returns None when the run is not ready for it, as a stale message finds it."""
        lease = self._lease()
        if self.group is not None and (tried := engine.try_to_claim(self.group, run_id, move, self.settings, lease)):
            return tried.claim
        return self._retry_until_available(engine.claim, run_id, move, settings=self.settings, lease=lease)

    def _lease(self) -> Lease:
        return Lease(uuid4(), self.owner, self.settings.lease)

    def _perform(self, claim: Claim, keep_until: float) -> Claim | None:
        """Perform the claimed move and record its outcome. Returns the claim of the next move if the run is kept."""
        # No transaction is open during calls to external systems: they may take minutes.
        journal = DatabaseJournal(self.database, self.settings, claim)
        try:
            with self.running_steps.performing(claim) as stop_signal:
                outcome = claim.perform(saga, self.infrastructure, journal, stop_signal, self.settings.pace)
        except (Exception, Interrupt) as error:  # noqa: BLE001  # any error of a step is an outcome
            self._log(claim.run_id, claim.move, error)
            self._retry_until_available(engine.record_failure, claim, _recorded_error(error))
            return None
        keep = self._lease() if self._may_keep(keep_until) else None
        if self.group is not None and (tried := engine.try_to_record(self.group, claim, outcome, keep)):
            return tried.claim
        return self._retry_until_available(engine.record, claim, outcome, keep)

    def _may_keep(self, until: float) -> bool:
        """Whether the run may be kept for its next move: otherwise the move goes through the queue, behind others."""
        return time.monotonic() < until and not self.running_steps.shutting_down

    def _retry_until_available(
        self, work: Callable[Concatenate[Statements, P], T], *args: P.args, **kwargs: P.kwargs
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
