"""The position of a run: the values of its rows at one moment, as transitions read and change them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from models import (
    ActorKind,
    ResourceStatus,
    RunErrorCode,
    RunKind,
    RunStatus,
    StepRole,
    StepStatus,
    TenantState,
)
from models.run import is_to_be_undone, timeout_of_attempt
from provisioning.resource_names import ResourceNames

MAY_BE_HELD = (ResourceStatus.INTENDED, ResourceStatus.HELD)


class RunValues(NamedTuple):
    """The values of a run that transitions read or change. The names are those of the columns of ``runs``."""

    id: UUID
    number: int
    kind: RunKind
    status: RunStatus
    releases_run_id: UUID | None
    cancel_requested_at: datetime | None
    cancel_actor_kind: ActorKind | None
    cancel_actor_id: UUID | None
    cancel_actor_name: str | None
    cancel_reason: str | None
    cancel_step_in_flight: str | None
    due_at: datetime | None
    dispatched_at: datetime | None
    lease_token: UUID | None
    lease_until: datetime | None
    lease_owner: str | None
    failed_step: str | None
    error: str | None
    error_code: RunErrorCode | None
    stuck_since: datetime | None
    stuck_step: str | None
    stuck_error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def cancel_requested(self) -> bool:
        """Whether a cancel was requested."""
        return self.cancel_requested_at is not None

    @property
    def owned(self) -> bool:
        """Whether a worker has claimed the run and not released it. Its lease may have lapsed."""
        return self.lease_token is not None


class StepValues(NamedTuple):
    """The values of a step that transitions read or change. The names are those of the columns of ``run_steps``."""

    position: int
    name: str
    title: str
    role: StepRole
    status: StepStatus
    interruptible: bool
    timeout: timedelta
    max_attempts: int
    compensation_timeout: timedelta | None
    max_compensation_attempts: int
    compensation_time_limit: timedelta | None
    attempts: int
    compensation_attempts: int
    lost_workers: int
    parts_done: int
    percent: int | None
    message: str | None
    error: str | None
    compensation_error: str | None
    heartbeat_at: datetime | None
    attempt_started_at: datetime | None
    next_attempt_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    compensation_started_at: datetime | None
    compensation_delayed_at: datetime | None
    compensated_at: datetime | None
    failing_since: datetime | None

    @property
    def undo_timeout(self) -> timedelta:
        """The timeout of one attempt to undo the step."""
        return timeout_of_attempt(StepStatus.COMPENSATING, self.timeout, self.compensation_timeout)

    @property
    def attempt_timeout(self) -> timedelta:
        """The timeout of one attempt in the direction in which the step is performed now."""
        return timeout_of_attempt(self.status, self.timeout, self.compensation_timeout)

    @property
    def to_be_undone(self) -> bool:
        """Whether compensating the run includes this step."""
        return is_to_be_undone(self.role, self.status)


class TenantValues(NamedTuple):
    """The values of the run's tenant."""

    id: UUID
    organisation_id: UUID
    organisation_slug: str
    slug: str
    name: str
    region: str
    plan_code: str
    first_admin_email: str
    address: str
    state: TenantState
    version: int


class ResourceValues(NamedTuple):
    """One row of the run's ledger."""

    id: UUID
    step: str
    kind: str
    name: str
    status: ResourceStatus

    @property
    def as_fact(self) -> dict[str, str]:
        """The resource in the data of an event."""
        return {"kind": self.kind, "name": self.name}


class Position(NamedTuple):
    """A run with its steps in the order of the saga, its tenant and its ledger, at the time ``now``.

    ``revision`` is the version of the run's row: a transition is written only if no other write came in between.
    ``jitter`` is a random factor for back-offs, which spreads the retries of many runs.
    ``resources`` are those that the run took or, for a decommission, those of the run that it releases. ``left_behind``
    are the tenant's abandoned resources, as facts of an event.
    """

    revision: str
    now: datetime
    jitter: float
    run: RunValues
    steps: Mapping[str, StepValues]
    tenant: TenantValues
    names: ResourceNames
    resources: tuple[ResourceValues, ...]
    left_behind: tuple[Mapping[str, object], ...]

    @property
    def held(self) -> list[dict[str, str]]:
        """The resources that the run holds or may hold, as facts of an event."""
        return self.facts_of(*MAY_BE_HELD)

    def facts_of(self, *statuses: ResourceStatus) -> list[dict[str, str]]:
        """The resources in these statuses, as facts of an event."""
        return [resource.as_fact for resource in self.resources if resource.status in statuses]
