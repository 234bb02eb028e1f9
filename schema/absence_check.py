"""A look outside after an undo, as clients see it."""

from datetime import datetime

import strawberry

from models import AbsenceCheck as AbsenceCheckRow


@strawberry.type(
    description="One look outside after everything was undone: every adapter was asked for everything the run could "
    "have taken. Effects can come late, so there are several: at once, after half a minute, an hour and a day."
)
class AbsenceCheck:
    """An answer."""

    asked_at: datetime = strawberry.field(description="When the adapters were asked.")
    found: list[str] = strawberry.field(
        description="Names of what was there after all, and was removed then. Empty means that nothing was held. "
        "What was abandoned knowingly is left out."
    )

    @classmethod
    def of(cls, row: AbsenceCheckRow) -> "AbsenceCheck":
        """What clients see of a row."""
        return cls(asked_at=row.asked_at, found=list(row.found))
