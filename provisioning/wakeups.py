"""Wake-ups: messages to workers that a run may be ready. Rows decide, so lost and duplicate messages are harmless."""

from dataclasses import dataclass
from uuid import UUID

from provisioning.moves import Backward, Forward


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A message that this run may be ready for this move."""

    run_id: UUID
    move: Forward | Backward
