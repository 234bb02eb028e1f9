"""A step of a run, as clients see it."""

from datetime import UTC, datetime, timedelta

import strawberry

from models import RunStep as StepRow
from models import StepStatus


@strawberry.type(description="One step of a run.")
class RunStep:
    """A step."""

    name: str = strawberry.field(description="Name in the saga, for example allocate_storage.")
    title: str = strawberry.field(description="Sentence to show.")
    position: int = strawberry.field(description="From 1.")
    status: StepStatus = strawberry.field(description="Where it stands.")
    attempts: int = strawberry.field(description="Tries so far, forward.")
    max_attempts: int = strawberry.field(description="Tries it may have, forward.")
    compensation_attempts: int = strawberry.field(description="Tries of its compensation so far.")
    interruptible: bool = strawberry.field(
        description="Whether a cancel stops it at its next safe point rather than at its end."
    )
    percent: int | None = strawberry.field(description="How far it says it is, 0 to 100.")
    message: str | None = strawberry.field(description="What it says it is doing.")
    error: str | None = strawberry.field(description="The last error, for people.")
    heartbeat_at: datetime | None = strawberry.field(
        description="Last sign of life from whoever performs it; null when nobody does."
    )
    next_attempt_at: datetime | None = strawberry.field(description="When it will be tried or looked at again.")
    started_at: datetime | None = strawberry.field(description="When it first began.")
    finished_at: datetime | None = strawberry.field(description="When it was done, failed or interrupted.")
    duration: timedelta | None = strawberry.field(description="Time spent going forward.")
    compensated_at: datetime | None = strawberry.field(description="When its compensation was confirmed.")

    @classmethod
    def of(cls, row: StepRow) -> "RunStep":
        """What clients see of a row."""
        return cls(
            name=row.name,
            title=row.title,
            position=row.position,
            status=row.status,
            attempts=row.attempts,
            max_attempts=row.max_attempts,
            compensation_attempts=row.compensation_attempts,
            interruptible=row.interruptible,
            percent=row.percent,
            message=row.message,
            error=row.error,
            heartbeat_at=row.heartbeat_at,
            next_attempt_at=row.next_attempt_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            duration=time_spent(row.started_at, row.finished_at),
            compensated_at=row.compensated_at,
        )


def time_spent(since: datetime | None, until: datetime | None) -> timedelta | None:
    """How long something took, or has taken so far. For people: our clock may differ from the database's."""
    if since is None:
        return None
    return max((until or datetime.now(UTC)) - since, timedelta(0))
