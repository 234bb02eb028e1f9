"""The right to make one move of one run, for a while: what a worker holds between claim and record."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from models import RunStep
from provisioning.footprint import Footprint
from provisioning.moves import Backward, Forward
from provisioning.ports import World
from provisioning.saga import Done, Journal, NotYet, Outcome, Saga, StepContext, TenantFacts, Trip, current_patience


@dataclass(frozen=True)
class Claim:
    """A fresh random token per claim fences whoever held the run before: nothing it writes lands any more.

    ``time_left`` bounds the attempt from now on; ``first_look`` tells that it begins now.
    """

    run_id: UUID
    token: UUID
    move: Forward | Backward
    attempt: int
    time_left: timedelta
    interruptible: bool
    first_look: bool
    footprint: Footprint
    tenant: TenantFacts

    @property
    def backward(self) -> bool:
        """Whether the move is a compensation, which no cancel stops."""
        return isinstance(self.move, Backward)

    def perform(
        self, saga: Saga, world: World, journal: Journal, trip: Trip, pace: timedelta = timedelta(0)
    ) -> Outcome:
        """Do the work outside. No transaction is open: this may take minutes. Raises what the step raises."""
        step = saga[self.move.step]
        ctx = StepContext(world, self.footprint, self.tenant, self.attempt, journal, trip)
        if self.attempt == 1 and self.first_look and not self.backward:
            ctx.linger(pace)
        performing = current_patience.set(ctx)
        try:
            outcome = (step.undo if self.backward else step.action)(ctx) or Done()
        finally:
            current_patience.reset(performing)
        if isinstance(outcome, NotYet):
            ctx.checkpoint()
        return outcome


def time_left(step: RunStep, spent: timedelta) -> timedelta:
    """What remains of the attempt; never less than nothing."""
    return max(step.timeout - spent, timedelta(0))
