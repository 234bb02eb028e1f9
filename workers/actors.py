"""The two actors. Each makes moves of one run: claim, perform, record. A stale message finds nothing to claim."""

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import dramatiq
from dramatiq.middleware import Interrupt, Shutdown

from provisioning import engine
from provisioning.claims import Claim
from provisioning.engine import Apply, Change, Decided
from provisioning.error_messages import describe
from provisioning.moves import Backward, Forward
from provisioning.ports import Infrastructure
from provisioning.saga import NotYet, Outcome
from provisioning.scarcity import is_scarcity
from provisioning.step_context import Journal, StepStopped, StopReason, StopSignal
from provisioning.step_journal import DatabaseJournal
from provisioning.steps import saga
from provisioning.transitions import Lease
from runtime.database import Database
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.kept_waits import KeptWait, KeptWaits
from workers.running_steps import RunningSteps

logger = logging.getLogger(__name__)

KEEP_RUN_FOR = 1.0
"""Seconds for which a worker goes on with a run before it takes the next message: a run of short steps needs one
message, also on a busy machine, and no other run waits long behind it."""


@dataclass
class StepRunner:
    """Makes moves. Any thread may call it. With ``group``, the threads claim and record together.

    With ``kept_waits``, by the type of the move, the process keeps what waits and polls it again by itself.
    """

    database: Database
    settings: Settings
    infrastructure: Infrastructure
    running_steps: RunningSteps
    owner: str = field(default_factory=lambda: f"{socket.gethostname()[:80]}:{os.getpid()}")
    keep_for: float = KEEP_RUN_FOR
    group: Apply | None = None
    kept_waits: Mapping[type[Forward | Backward], KeptWaits] = field(default_factory=dict)

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
        change = engine.claiming(run_id, move, self.settings, self._lease())
        return engine.claim_of(self._apply(change), self.settings)

    def _lease(self) -> Lease:
        return Lease(uuid4(), self.owner, self.settings.lease)

    def _perform(self, claim: Claim, keep_until: float) -> Claim | None:
        """Perform the claimed move and record its outcome. Returns the claim of the next move if the run is kept."""
        # No transaction is open during calls to external systems: they may take minutes.
        journal = DatabaseJournal(self.database, self.settings, claim)
        try:
            with self.running_steps.performing(claim) as stop_signal:
                outcome = self._outcome(claim, journal, stop_signal)
        except (Exception, Interrupt) as error:  # noqa: BLE001  # any error of a step is an outcome
            self._record_failure(claim, error)
            return None
        if isinstance(outcome, NotYet) and self._waits_for(claim, outcome):
            self._keep_waiting(claim, journal, outcome)
            return None
        return self._record(claim, outcome, self._lease() if self._may_keep(keep_until) else None)

    def _outcome(self, claim: Claim, journal: Journal, stop_signal: StopSignal) -> Outcome:
        return claim.perform(saga, self.infrastructure, journal, stop_signal, self.settings.pace)

    def _waits_for(self, claim: Claim, outcome: NotYet) -> KeptWaits | None:
        """Where to keep what waits; None to give the lease back: for a long wait it would be renewed in vain."""
        waits = self.kept_waits.get(type(claim.move))
        if waits is None or not waits.has_room or self.running_steps.shutting_down:
            return None
        return waits if outcome.after <= self.settings.lease else None

    def _keep_waiting(self, claim: Claim, journal: Journal, outcome: NotYet) -> None:
        kept = engine.claim_of(self._apply(engine.waiting(claim, outcome.after)), self.settings)
        if kept is None:
            return
        wait: KeptWait | None = None
        try:
            wait = KeptWait(kept, journal, self.running_steps.keep(kept))
            self.kept_waits[type(kept.move)].keep(wait, outcome.after)
        except BaseException:
            # An interrupt may arrive at any line, and a lease that is renewed without polls would never end.
            self.running_steps.forget(kept)
            if wait is not None:
                wait.stop_signal.set(StopReason.SHUTTING_DOWN)  # if it is kept, its next poll gives the lease back
            raise

    def poll_again(self, wait: KeptWait) -> timedelta | None:
        """Poll a step that waits. Returns the time until the next poll, and has written nothing; None if it has ended.

        A poll that finds the step done, failed or stopped is recorded, as that of a message is.
        """
        try:
            outcome = self._poll(wait)
        except BaseException:
            self.running_steps.forget(wait.claim)  # a lease that is renewed without polls would never end
            raise
        if isinstance(outcome, NotYet) and outcome.after <= self.settings.lease and not wait.timed_out:
            return outcome.after
        self.running_steps.forget(wait.claim)
        if isinstance(outcome, Exception):
            self._record_failure(wait.claim, outcome)
        else:
            self._record(wait.claim, outcome, None)
        return None

    def _poll(self, wait: KeptWait) -> Outcome | Exception:
        if wait.timed_out:
            return NotYet(timedelta(0))  # the next claim finds that the attempt has had its time
        try:
            return self._outcome(wait.claim, wait.journal, wait.stop_signal)
        except Exception as error:  # noqa: BLE001  # any error of a step is an outcome
            return error

    def _record_failure(self, claim: Claim, error: BaseException) -> None:
        self._log(claim.run_id, claim.move, error)
        self._apply(engine.failing(claim, _recorded_error(error)))

    def _record(self, claim: Claim, outcome: Outcome, keep: Lease | None) -> Claim | None:
        return engine.claim_of(self._apply(engine.recording(claim, outcome, keep)), self.settings)

    def _may_keep(self, until: float) -> bool:
        """Whether the run may be kept for its next move: otherwise the move goes through the queue, behind others."""
        return time.monotonic() < until and not self.running_steps.shutting_down

    def _apply(self, change: Change) -> Decided:
        """Write the change: with those of other threads, and alone if it is not known that they have written it.

        Retries while Postgres is unavailable: a lost record costs the rest of a lease. The token fences each try.
        """
        if self.group is not None:
            # Decided here, while another thread may write its group: a group holds up all that come meanwhile.
            if (decided := self.group(change.decided_now())) is not None:
                return decided
            change = change.undecided()  # the guard of a remembered one has failed, most likely
        return self.database.retry_until_available(self.running_steps.drained, engine.apply, change)

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
