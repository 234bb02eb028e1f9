"""Wake-ups: messages to workers that a run may be ready. Rows decide, so lost and duplicate messages are harmless."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from models import Run
from provisioning.moves import Backward, Forward
from runtime.database import outbox_of


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A message that this run may be ready for this move."""

    run_id: UUID
    move: Forward | Backward


def wake(session: Session, run: Run, move: Forward | Backward, now: datetime) -> None:
    """Send a wake-up after this transaction has committed. The sweeper sends none within ``REDISPATCH_AFTER``."""
    run.dispatched_at = now
    outbox_of(session).append(WakeUp(run.id, move))
