"""Wake-ups: hints to workers that a run may be ready. Rows decide; losing or doubling a hint is harmless."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from models import Run
from provisioning.moves import Backward, Forward
from runtime.database import outbox_of


@dataclass(frozen=True, slots=True)
class WakeUp:
    """This run may be ready for this move."""

    run_id: UUID
    move: Forward | Backward


def wake(session: Session, run: Run, move: Forward | Backward, now: datetime) -> None:
    """Wake a worker once this transaction has committed. The sweeper leaves the run alone for a moment."""
    run.dispatched_at = now
    outbox_of(session).append(WakeUp(run.id, move))
