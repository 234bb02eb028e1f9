"""A run: one numbered execution of the saga for one tenant, with its steps."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, Index, UniqueConstraint, and_, text
from sqlmodel import Field, SQLModel, col

from models.columns import INTERVAL, choice, instant, primary_key
from models.event import ActorKind


class RunKind(StrEnum):
    """What a run is for."""

    PROVISION = "PROVISION"
    DECOMMISSION = "DECOMMISSION"


class RunStatus(StrEnum):
    """The status of a run. Forward moves are claimed only in QUEUED and RUNNING, so a committed cancel stops them."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    COMPENSATING = "COMPENSATING"
    STUCK = "STUCK"
    SUCCEEDED = "SUCCEEDED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    DECOMMISSIONED = "DECOMMISSIONED"


class RunErrorCode(StrEnum):
    """Why the last attempt of a step ended a run."""

    REFUSED = "REFUSED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    TIMED_OUT = "TIMED_OUT"
    WORKER_LOST = "WORKER_LOST"


LIVE_STATUSES = (
    RunStatus.QUEUED,
    RunStatus.RUNNING,
    RunStatus.CANCELLING,
    RunStatus.COMPENSATING,
    RunStatus.STUCK,
)
"""Statuses of runs that have not settled. A tenant has at most one such run."""

UNDONE_STATUSES = (RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.DECOMMISSIONED)
"""Statuses of runs that have ended and that were undone: they hold no resource, but may have abandoned some."""


class StepRole(StrEnum):
    """When a step is performed: before the pivot, as the pivot, after it, or after everything was undone."""

    STEP = "STEP"
    PIVOT = "PIVOT"
    AFTERWARDS = "AFTERWARDS"
    CONFIRMATION = "CONFIRMATION"


FOLLOW_UPS = (StepRole.AFTERWARDS, StepRole.CONFIRMATION)
"""Roles of steps that are performed after the run has ended."""


class StepStatus(StrEnum):
    """The status of a step of a run."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    COMPENSATION_FAILED = "COMPENSATION_FAILED"
    ABANDONED = "ABANDONED"


NOTHING_TO_UNDO = (StepStatus.WAITING, StepStatus.COMPENSATED, StepStatus.ABANDONED)
"""Statuses of steps that did not begin, or that are already compensated or abandoned."""


def is_to_be_undone(role: StepRole, status: StepStatus) -> bool:
    """Whether compensating a run includes a step: it began, or may have begun, and is not yet compensated."""
    return role not in FOLLOW_UPS and status not in NOTHING_TO_UNDO


def timeout_of_attempt(status: StepStatus, forward: timedelta, back: timedelta | None) -> timedelta:
    """The timeout of one attempt of a step in this status. A run of an earlier release may have none for its undo."""
    return forward if back is None or status is not StepStatus.COMPENSATING else back


class Run(SQLModel, table=True):
    """One run. The row is its own outbox: it says when the run needs a worker, so that a lost message is found.

    ``due_at`` is when the run needs a worker: now, after a back-off, or when the current lease lapses. One index on it
    finds every run that the sweeper has to handle. ``dispatched_at`` is when the last wake-up was sent for the run.
    """

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number", name="runs_are_numbered_per_tenant"),
        Index("one_live_run_per_tenant", "tenant_id", unique=True, postgresql_where=text("finished_at IS NULL")),
        Index("runs_that_are_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("runs_with_a_deadline", "deadline_at", postgresql_where=text("finished_at IS NULL")),
        Index("runs_that_are_stuck", "id", postgresql_where=text("status = 'STUCK'")),
        CheckConstraint("number >= 1", name="run_number_is_positive"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('SUCCEEDED','CANCELLED','FAILED','DECOMMISSIONED'))",
            name="a_run_is_finished_exactly_when_its_status_says_so",
        ),
        CheckConstraint(
            "finished_at IS NOT NULL OR due_at IS NOT NULL OR status = 'STUCK'",
            name="a_run_that_has_not_settled_has_a_next_wake",
        ),
        CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name="a_lease_has_a_token_and_an_end"),
        CheckConstraint(
            "(cancel_requested_at IS NULL) = (cancel_actor_id IS NULL)", name="a_cancel_request_names_who_asked"
        ),
        CheckConstraint(
            "status NOT IN ('CANCELLING','CANCELLED') OR cancel_requested_at IS NOT NULL",
            name="nothing_is_cancelled_unasked",
        ),
        CheckConstraint(
            "(kind = 'DECOMMISSION') = (releases_run_id IS NOT NULL)", name="a_decommission_names_the_run_it_releases"
        ),
    )

    id: UUID = primary_key()
    organisation_id: UUID = Field(foreign_key="organisations.id")
    tenant_id: UUID = Field(foreign_key="tenants.id")
    number: int
    address: str = Field(max_length=63)
    kind: RunKind = Field(sa_type=choice(RunKind, sentence="run_kind_is_known"))
    status: RunStatus = Field(sa_type=choice(RunStatus, sentence="run_status_is_known"))
    releases_run_id: UUID | None = Field(default=None, foreign_key="runs.id")

    started_by_kind: ActorKind = Field(sa_type=choice(ActorKind, sentence="run_starter_kind_is_known"))
    started_by_id: UUID
    started_by_name: str = Field(max_length=254)

    cancel_requested_at: datetime | None = instant(optional=True)
    cancel_actor_kind: ActorKind | None = Field(
        default=None, sa_type=choice(ActorKind, sentence="cancel_actor_kind_is_known"), nullable=True
    )
    cancel_actor_id: UUID | None = None
    cancel_actor_name: str | None = Field(default=None, max_length=254)
    cancel_reason: str | None = Field(default=None, max_length=500)
    cancel_step_in_flight: str | None = Field(default=None, max_length=64)

    due_at: datetime | None = instant(optional=True)
    dispatched_at: datetime | None = instant(optional=True)
    lease_until: datetime | None = instant(optional=True)
    lease_token: UUID | None = None
    lease_owner: str | None = Field(default=None, max_length=120)

    failed_step: str | None = Field(default=None, max_length=64)
    error: str | None = Field(default=None, max_length=2000)
    error_code: RunErrorCode | None = Field(
        default=None, sa_type=choice(RunErrorCode, sentence="run_error_code_is_known"), nullable=True
    )
    stuck_since: datetime | None = instant(optional=True)
    stuck_step: str | None = Field(default=None, max_length=64)
    stuck_error: str | None = Field(default=None, max_length=2000)
    deadline_at: datetime | None = instant(optional=True)
    created_at: datetime = instant()
    started_at: datetime | None = instant(optional=True)
    finished_at: datetime | None = instant(optional=True)

    @property
    def cancel_requested(self) -> bool:
        """Whether a cancel was requested."""
        return self.cancel_requested_at is not None

    @property
    def cancellable(self) -> bool:
        """Whether cancelProvisioning would record a new request for this run."""
        return self.kind is RunKind.PROVISION and self.finished_at is None and not self.cancel_requested


class RunStep(SQLModel, table=True):
    """One step of one run, copied from the saga when the run began.

    An attempt is in progress while ``attempt_started_at`` is set. It is being performed, unless ``next_attempt_at``
    is set too: then it waits for its next poll, until that time or, if the run has an owner, for one after the other.

    ``failing_since`` is when the first failed attempt of its compensation was recorded; no further one begins later
    than ``compensation_time_limit`` after it. ``lost_workers`` counts the attempts to undo it, since the last outcome,
    that ended because the worker was lost. ``parts_done`` are the parts of the step that a further attempt does not
    repeat.

    ``error`` is of the last failed attempt of the step and is kept when it is undone; ``compensation_error`` is of the
    last failed attempt to undo it.
    """

    __tablename__ = "run_steps"
    __table_args__ = (
        UniqueConstraint("run_id", "name", name="a_step_is_in_a_run_once"),
        CheckConstraint("percent BETWEEN 0 AND 100", name="percent_is_a_percentage"),
        CheckConstraint("attempts >= 0 AND compensation_attempts >= 0", name="attempts_are_counted_up"),
        Index(
            "undos_in_progress",
            "compensation_started_at",
            postgresql_where=text(
                "compensation_started_at IS NOT NULL AND compensated_at IS NULL AND compensation_delayed_at IS NULL"
            ),
        ),
    )

    run_id: UUID = Field(foreign_key="runs.id", primary_key=True)
    position: int = Field(primary_key=True)
    name: str = Field(max_length=64)
    title: str = Field(max_length=120)
    role: StepRole = Field(sa_type=choice(StepRole, sentence="step_role_is_known"))
    status: StepStatus = Field(sa_type=choice(StepStatus, sentence="step_status_is_known"))
    interruptible: bool
    timeout: timedelta = Field(sa_type=INTERVAL)
    max_attempts: int
    compensation_timeout: timedelta | None = Field(default=None, sa_type=INTERVAL)
    max_compensation_attempts: int = Field(default=8, sa_column_kwargs={"server_default": text("8")})
    compensation_time_limit: timedelta | None = Field(default=None, sa_type=INTERVAL)
    attempts: int = 0
    compensation_attempts: int = 0
    lost_workers: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    parts_done: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})

    percent: int | None = None
    message: str | None = Field(default=None, max_length=300)
    error: str | None = Field(default=None, max_length=2000)
    compensation_error: str | None = Field(default=None, max_length=2000)
    heartbeat_at: datetime | None = instant(optional=True)
    attempt_started_at: datetime | None = instant(optional=True)
    next_attempt_at: datetime | None = instant(optional=True)
    started_at: datetime | None = instant(optional=True)
    finished_at: datetime | None = instant(optional=True)
    compensation_started_at: datetime | None = instant(optional=True)
    compensation_delayed_at: datetime | None = instant(optional=True)
    compensated_at: datetime | None = instant(optional=True)
    failing_since: datetime | None = instant(optional=True)

    @property
    def attempt_timeout(self) -> timedelta:
        """The timeout of one attempt in the direction in which the step is performed now."""
        return timeout_of_attempt(self.status, self.timeout, self.compensation_timeout)

    @property
    def to_be_undone(self) -> bool:
        """Whether compensating the run includes this step: it began, or may have begun, and is not yet compensated."""
        return is_to_be_undone(self.role, self.status)

    @staticmethod
    def are_to_be_undone() -> ColumnElement[bool]:
        """The same as ``to_be_undone``, as an SQL condition."""
        return and_(col(RunStep.role).not_in(FOLLOW_UPS), col(RunStep.status).not_in(NOTHING_TO_UNDO))
