"""The two actors. Each makes one move: claim, perform, record. A stale or doubled message finds nothing to claim."""

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
from provisioning.journal import DatabaseJournal
from provisioning.moves import Backward, Forward
from provisioning.ports import World
from provisioning.saga import StepStopped, StopReason
from provisioning.steps import saga
from runtime.database import Database
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.live import LiveClaims

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Mover:
    """Makes moves, on whatever thread it is called."""

    database: Database
    settings: Settings
    world: World
    live: LiveClaims
    owner: str = field(default_factory=lambda: f"{socket.gethostname()[:80]}:{os.getpid()}")

    def make_move(self, run_id: UUID, move: Forward | Backward) -> None:
        """Claim the move, perform it and put the outcome on record; nothing when the run is not ready for it.

        A process that shuts down takes nothing on: the sweeper of another asks again.
        """
        if self.live.shutting_down:
            return
        claim = self._insist(engine.claim, run_id, move, settings=self.settings, owner=self.owner, token=uuid4())
        if claim is None:
            return

        # No transaction is open while the outside world is busy: this may take minutes.
        journal = DatabaseJournal(self.database, self.settings, claim)
        try:
            with self.live.performing(claim) as trip:
                outcome = claim.perform(saga, self.world, journal, trip, self.settings.pace)
        except (Exception, Interrupt) as error:  # noqa: BLE001  # whatever a step raises is an outcome
            self._log(claim.run_id, move, error)
            self._insist(engine.record_failure, claim, _blamed(error))
        else:
            self._insist(engine.record, claim, outcome)

    def _insist(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Postgres may be away: what is lost now would cost the rest of a lease. The token fences each repetition."""
        return self.database.insist(self.live.drained, work, *args, **kwargs)

    def _log(self, run_id: UUID, move: Forward | Backward, error: BaseException) -> None:
        facts = {"run": run_id, "step": move.step, "direction": type(move).__name__.lower()}
        if isinstance(error, StepStopped):
            logger.info("a step stopped: %s", error, extra=facts)
        else:
            logger.warning("a step failed", exc_info=error, extra=facts)


def _blamed(error: BaseException) -> BaseException:
    """What goes on record. A step that outstays the drain is interrupted by the restart: that is not its failure."""
    return StepStopped(StopReason.SHUTTING_DOWN) if isinstance(error, Shutdown) else error


def declare_run_step(broker: dramatiq.Broker, mover: Mover) -> dramatiq.Actor[[str, str], None]:
    """The actor that performs steps."""

    @dramatiq.actor(broker=broker, queue_name=FORWARD_QUEUE, max_retries=0)
    def run_step(run_id: str, step: str) -> None:
        mover.make_move(UUID(run_id), Forward(step))

    return run_step


def declare_compensate_step(broker: dramatiq.Broker, mover: Mover) -> dramatiq.Actor[[str, str], None]:
    """The actor that performs compensations."""

    @dramatiq.actor(broker=broker, queue_name=COMPENSATION_QUEUE, max_retries=0)
    def compensate_step(run_id: str, step: str) -> None:
        mover.make_move(UUID(run_id), Backward(step))

    return compensate_step
