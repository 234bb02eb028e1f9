"""A step of a run in the GraphQL schema."""

from datetime import UTC, datetime, timedelta

import strawberry

from models import RunStep as StepRow
from models import StepStatus
from schema.described import described_type


@described_type
class RunStep:
    """One step of a run, as the saga defined it when the run began."""

    name: str = strawberry.field(description="Name in the saga, for example allocate_storage.")
    title: str = strawberry.field(description="Name for people, for example Allocate storage.")
    position: int = strawberry.field(
        description="Place in the running order, from 1. Compensations run from the last position to the first."
    )
    status: StepStatus = strawberry.field(
        description="Progress of the step. A decommissioning run begins with every step DONE and undoes it."
    )
    attempts: int = strawberry.field(
        description="Attempts begun so far, with the one under way. An attempt that a restart of its worker ended does "
        "not count; resendWelcomeEmails counts from 0 again."
    )
    max_attempts: int = strawberry.field(
        description="Attempts that may fail before the run is undone. After lost workers a step gets at least three "
        "attempts."
    )
    compensation_attempts: int = strawberry.field(
        description="Attempts to undo the step that have begun. resumeCompensation counts from 0 again."
    )
    max_compensation_attempts: int = strawberry.field(
        description="Attempts to undo the step that may fail before the run is STUCK. Attempts that fail for too long "
        "make it STUCK earlier."
    )
    interruptible: bool = strawberry.field(
        description="Whether a cancel stops the step at its next safe point. Otherwise the step runs to its end first."
    )
    percent: int | None = strawberry.field(
        description="Progress that the step last reported, 0 to 100, and 100 when it is done. Null when it reported "
        "none; each attempt begins with null."
    )
    message: str | None = strawberry.field(
        description="What the step or its undo last reported, for people, at most 300 characters: a deployer's words "
        "while a workload starts or is torn down. Null when it reported nothing, and once it has ended."
    )
    error: str | None = strawberry.field(
        description="Error of the last attempt that failed, for people. It is kept when the step is undone; while "
        "attempts to undo it fail, it is the error of the undo. Null once the step is done."
    )
    compensation_error: str | None = strawberry.field(
        description="Error of the last attempt to undo the step that failed, for people. Null when none failed, and "
        "once the step is undone."
    )
    heartbeat_at: datetime | None = strawberry.field(
        description="When a worker last claimed or polled the step or renewed its lease on it. A waiting step keeps "
        "the time; null before the first attempt and once the step has ended."
    )
    next_attempt_at: datetime | None = strawberry.field(
        description="When the step or its compensation is polled or tried again; null while a worker performs it and "
        "when nothing is scheduled. In the past while a worker polls it again and again: a poll without news writes "
        "nothing."
    )
    attempt_started_at: datetime | None = strawberry.field(
        description="When the attempt under way began, of the step or of its undo. Null when none is: then "
        "nextAttemptAt is the start of the next attempt, otherwise the next poll of this one."
    )
    attempt_deadline_at: datetime | None = strawberry.field(
        description="When the attempt under way has failed unless it is done by then: its start plus the time that one "
        "attempt may take. Null when none is under way."
    )
    started_at: datetime | None = strawberry.field(
        description="When the first attempt began; null before, and in a decommissioning run."
    )
    finished_at: datetime | None = strawberry.field(
        description="When the step was done, failed for good or was interrupted; null before, and in a decommissioning "
        "run."
    )
    duration: timedelta | None = strawberry.field(
        description="Time from startedAt to finishedAt, or until now, with the waits between attempts; null while "
        "startedAt is null. Compensations are not included."
    )
    compensation_started_at: datetime | None = strawberry.field(
        description="When the first attempt to undo the step began, since the last resumeCompensation if the undo had "
        "failed; null before."
    )
    compensation_delayed_at: datetime | None = strawberry.field(
        description="When operators were warned that the undo takes longer than usual; null when they were not. The "
        "undo continues, and resumeCompensation sets it back to null."
    )
    compensated_at: datetime | None = strawberry.field(
        description="When the step was undone and the resources that it took, if any, were confirmed absent; null "
        "before."
    )

    @classmethod
    def of(cls, row: StepRow) -> "RunStep":
        """Convert a row."""
        return cls(
            name=row.name,
            title=row.title,
            position=row.position,
            status=row.status,
            attempts=row.attempts,
            max_attempts=row.max_attempts,
            compensation_attempts=row.compensation_attempts,
            max_compensation_attempts=row.max_compensation_attempts,
            interruptible=row.interruptible,
            percent=row.percent,
            message=row.message,
            error=row.compensation_error or row.error,
            compensation_error=row.compensation_error,
            heartbeat_at=row.heartbeat_at,
            next_attempt_at=row.next_attempt_at,
            attempt_started_at=row.attempt_started_at,
            attempt_deadline_at=row.attempt_started_at + row.attempt_timeout if row.attempt_started_at else None,
            started_at=row.started_at,
            finished_at=row.finished_at,
            duration=time_spent(row.started_at, row.finished_at),
            compensation_started_at=row.compensation_started_at,
            compensation_delayed_at=row.compensation_delayed_at,
            compensated_at=row.compensated_at,
        )


def time_spent(since: datetime | None, until: datetime | None) -> timedelta | None:
    """How long something took, or has taken so far by this machine's clock; None when it has not begun."""
    if since is None:
        return None
    return max((until or datetime.now(UTC)) - since, timedelta(0))
