"""What a cancel would do at this moment: pure, from the rows that tell where a run stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from models import Resource, Run, RunStep, StepStatus
from provisioning import ledger


@dataclass(frozen=True, slots=True)
class Preview:
    """``releases`` in the order of release."""

    step_in_flight: RunStep | None
    releases: list[Resource]

    @property
    def interruptible(self) -> bool:
        """Whether nothing has to be waited for longer than until a safe point."""
        return self.step_in_flight is None or self.step_in_flight.interruptible


def preview_of(run: Run | None, steps: Sequence[RunStep], resources: Sequence[Resource]) -> Preview | None:
    """None when there is nothing to cancel, or a cancel is on record already. ``resources`` in the order of taking."""
    if run is None or not run.cancellable:
        return None
    in_flight = next((step for step in steps if step.status is StepStatus.RUNNING), None)
    position = {step.name: step.position for step in steps}
    held = [one for one in resources if one.status in ledger.MAY_BE_HELD]
    return Preview(in_flight, sorted(held, key=lambda one: (position[one.step], one.id), reverse=True))
