"""An absence check in the GraphQL schema."""

from datetime import datetime

import strawberry

from models import AbsenceCheck as AbsenceCheckRow
from schema.described import described_type


@described_type
class AbsenceCheck:
    """One check, after a run was undone, for resources of the run that still exist. Every adapter is asked for them.

    A call to an adapter can take effect late, so the check is repeated: right after the undo, then after 30 seconds,
    after another hour and after another day.
    """

    asked_at: datetime = strawberry.field(description="When the answers of all adapters had arrived, in UTC.")
    found: list[str] = strawberry.field(
        description="Names of resources that still existed; they are removed after the check. Empty when none was "
        "left. Resources that an operator abandoned are in foundAbandoned."
    )
    found_abandoned: list[str] = strawberry.field(
        description="Names of resources that an operator abandoned and that still existed. They are not removed."
    )

    @classmethod
    def of(cls, row: AbsenceCheckRow) -> "AbsenceCheck":
        """Convert a row."""
        return cls(asked_at=row.asked_at, found=list(row.found), found_abandoned=list(row.found_abandoned))
