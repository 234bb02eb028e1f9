"""The next move of a run: pure functions, without clock or database."""

from collections.abc import Iterable
from typing import Protocol

from models import FOLLOW_UPS, UNDONE_STATUSES, RunKind, RunStatus, StepRole, StepStatus
from provisioning.moves import Backward, Forward, Move, Rest, Settle


class DecidingRun(Protocol):
    """What decides the next move of a run: a row, or its values."""

    @property
    def kind(self) -> RunKind:
        """What the run is for."""

    @property
    def status(self) -> RunStatus:
        """The status now."""

    @property
    def cancel_requested(self) -> bool:
        """Whether a cancel was requested."""


class DecidingStep(Protocol):
    """What decides whether a step is the next move."""

    @property
    def name(self) -> str:
        """The name in the saga."""

    @property
    def role(self) -> StepRole:
        """When it is performed."""

    @property
    def status(self) -> StepStatus:
        """The status now."""

    @property
    def to_be_undone(self) -> bool:
        """Whether compensating the run includes it."""


BACKWARD = frozenset({RunStatus.CANCELLING, RunStatus.COMPENSATING})
FORWARD = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})
OVER = frozenset({StepStatus.DONE, StepStatus.FAILED})


def next_move(run: DecidingRun, steps: Iterable[DecidingStep]) -> Move:
    """The only move that this run is ready for. ``steps`` are in the order of the saga."""
    if run.status in BACKWARD:
        return _backward(run, steps)
    if run.status in FORWARD:
        return _forward(steps)
    if run.status is RunStatus.SUCCEEDED:
        return _follow_up(steps, StepRole.AFTERWARDS)
    if run.status in UNDONE_STATUSES:
        return _follow_up(steps, StepRole.CONFIRMATION)
    return Rest()


def outcome_of(run: DecidingRun) -> RunStatus:
    """The final status of a run after all its steps were compensated. A cancel takes precedence over a failure."""
    if run.kind is RunKind.DECOMMISSION:
        return RunStatus.DECOMMISSIONED
    return RunStatus.CANCELLED if run.cancel_requested else RunStatus.FAILED


def way_back(run: DecidingRun) -> RunStatus:
    """The status of a run while it is being compensated."""
    return RunStatus.CANCELLING if run.cancel_requested else RunStatus.COMPENSATING


def _backward(run: DecidingRun, steps: Iterable[DecidingStep]) -> Move:
    behind = [step for step in steps if step.to_be_undone]
    return Backward(behind[-1].name) if behind else Settle(outcome_of(run))


def _forward(steps: Iterable[DecidingStep]) -> Move:
    ahead = [step for step in steps if step.role not in FOLLOW_UPS and step.status is not StepStatus.DONE]
    return Forward(ahead[0].name) if ahead else Settle(RunStatus.SUCCEEDED)


def _follow_up(steps: Iterable[DecidingStep], role: StepRole) -> Move:
    after = [step for step in steps if step.role is role and step.status not in OVER]
    return Forward(after[0].name) if after else Rest()
