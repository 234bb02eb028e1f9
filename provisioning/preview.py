"""The preview of a cancel: what it would do now, computed from the rows of the run."""

from collections.abc import Sequence
from dataclasses import dataclass

from models import Resource, Run, RunStep, StepStatus
from provisioning.position import MAY_BE_HELD


@dataclass(frozen=True, slots=True)
class Preview:
    """The step that would be interrupted, and the resources that would be released, in the order of release."""

    step_in_flight: RunStep | None
    releases: list[Resource]

    @property
    def interruptible(self) -> bool:
        """Whether a cancel waits at most for the next safe point of the step in flight."""
        return self.step_in_flight is None or self.step_in_flight.interruptible


def preview_of(run: Run | None, steps: Sequence[RunStep], resources: Sequence[Resource]) -> Preview | None:
    """The preview, or None if nothing can be cancelled or a cancel was already requested.

    ``resources`` are in the order in which they were taken.
    """
    if run is None or not run.cancellable:
        return None
    in_flight = next((step for step in steps if step.status is StepStatus.RUNNING), None)
    position = {step.name: step.position for step in steps}
    held = [resource for resource in resources if resource.status in MAY_BE_HELD]
    return Preview(in_flight, sorted(held, key=lambda resource: (position[resource.step], resource.id), reverse=True))
