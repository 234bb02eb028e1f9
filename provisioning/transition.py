"""A transition: what to write, and the draft in which the rules of ``transitions`` put it together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from models import ResourceStatus
from models.columns import new_id
from provisioning.actors import PLATFORM, Actor
from provisioning.event_types import EventType
from provisioning.moves import Backward, Forward
from provisioning.position import Position, ResourceValues, RunValues, StepValues, TenantValues

Takes = Sequence[tuple[str, str]]
"""Kinds and names of the resources that a step takes."""


TELLS_WHAT_IS_HELD = frozenset(
    {
        EventType.COMPLETED,
        EventType.CANCELLED,
        EventType.FAILED,
        EventType.DEPROVISIONING_COMPLETED,
        EventType.STUCK,
        EventType.ABSENCE_CONFIRMED,
    }
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event of the run's tenant before it has its number."""

    type: EventType
    data: Mapping[str, object]
    by: Actor = PLATFORM


@dataclass(frozen=True, slots=True)
class Transition:
    """What to write, by column, and the position after it.

    ``claimed`` is the move that the lease in ``run`` is for, if any. ``wake_up`` is the move that a worker has to be
    woken for. ``interrupts_owner``: the worker that performs the run's step has to be told.
    """

    position: Position
    run: Mapping[str, Any]
    steps: Mapping[int, Mapping[str, Any]]
    tenant: Mapping[str, Any]
    intended: Sequence[ResourceValues]
    ledger: Mapping[UUID, Mapping[str, Any]]
    events: Sequence[NewEvent]
    claimed: Forward | Backward | None = None
    wake_up: Forward | Backward | None = None
    interrupts_owner: bool = False

    @property
    def tells_what_is_held(self) -> bool:
        """Whether an event says what is held or left behind. Then the position must have been read just before."""
        return any(event.type in TELLS_WHAT_IS_HELD for event in self.events)


@dataclass(slots=True)
class Draft:
    """A transition in the making: the position as changed so far, and the changes."""

    before: Position
    run: RunValues = field(init=False)
    steps: dict[str, StepValues] = field(init=False)
    resources: tuple[ResourceValues, ...] = field(init=False)
    left_behind: tuple[Mapping[str, object], ...] = field(init=False)
    run_changes: dict[str, Any] = field(default_factory=dict)
    step_changes: dict[int, dict[str, Any]] = field(default_factory=dict)
    tenant_changes: dict[str, Any] = field(default_factory=dict)
    ledger: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    intended: list[ResourceValues] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    claimed: Forward | Backward | None = None
    wake_up: Forward | Backward | None = None

    def __post_init__(self) -> None:
        self.run = self.before.run
        self.steps = dict(self.before.steps)
        self.resources = self.before.resources
        self.left_behind = self.before.left_behind

    @property
    def now(self) -> datetime:
        """The time of the position."""
        return self.before.now

    @property
    def tenant(self) -> TenantValues:
        """The tenant as changed so far."""
        tenant, changes = self.before.tenant, self.tenant_changes
        if "state" not in changes:
            return tenant
        return tenant._replace(state=changes["state"], version=changes["version"])

    def change_run(self, **values: Any) -> None:  # noqa: ANN401  # of any column
        """Change the run."""
        self.run = self.run._replace(**values)
        self.run_changes.update(values)

    def change(self, step: StepValues, **values: Any) -> StepValues:  # noqa: ANN401  # of any column
        """Change a step. Returns it with its new values."""
        self.steps[step.name] = changed = self.steps[step.name]._replace(**values)
        self.step_changes.setdefault(step.position, {}).update(values)
        return changed

    def change_tenant(self, **values: Any) -> None:  # noqa: ANN401  # of any column
        """Change the tenant."""
        self.tenant_changes.update(values)

    def emit(self, event_type: EventType, data: dict[str, object], by: Actor = PLATFORM) -> None:
        """Append an event."""
        self.events.append(NewEvent(event_type, data, by))

    def release_lease(self, due: datetime) -> None:
        """Remove the owner of the run, and make the run due at ``due``."""
        self.change_run(lease_token=None, lease_until=None, lease_owner=None, due_at=due)

    def intend(self, step: StepValues, takes: Takes) -> None:
        """Write the resources into the ledger that an earlier attempt has not written."""
        known = {(resource.kind, resource.name) for resource in self.resources}
        new = [
            ResourceValues(new_id(), step.name, kind, name, ResourceStatus.INTENDED)
            for kind, name in takes
            if (kind, name) not in known
        ]
        self.intended += new
        self.resources = (*self.resources, *new)

    def move_resources(
        self, step: str, from_: Sequence[ResourceStatus], status: ResourceStatus, **values: object
    ) -> list[dict[str, str]]:
        """Change the status of a step's resources. Returns them as facts of an event."""
        moved = [resource for resource in self.resources if resource.step == step and resource.status in from_]
        for resource in moved:
            self.ledger[resource.id] = {"status": status, **values}
        if moved:
            self.resources = tuple(
                resource._replace(status=status) if resource.id in self.ledger else resource
                for resource in self.resources
            )
        return [resource.as_fact for resource in moved]

    def transition(self, *, interrupts_owner: bool = False) -> Transition:
        """The transition with all changes so far."""
        return Transition(
            self.before._replace(
                run=self.run,
                steps=MappingProxyType(self.steps),
                resources=self.resources,
                left_behind=self.left_behind,
                tenant=self.tenant,
            ),
            self.run_changes,
            self.step_changes,
            self.tenant_changes,
            self.intended,
            self.ledger,
            self.events,
            self.claimed,
            self.wake_up,
            interrupts_owner,
        )


def milliseconds(since: datetime | None, until: datetime) -> int:
    """The time between the two, in whole milliseconds. Zero if ``since`` is None."""
    return round((until - since).total_seconds() * 1000) if since else 0
