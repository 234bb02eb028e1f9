"""A claim: the exclusive right to make one move of one run until its lease ends."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from provisioning.moves import Backward, Forward
from provisioning.ports import Infrastructure
from provisioning.position import Position, TenantValues
from provisioning.resource_names import ResourceNames
from provisioning.saga import Done, NotYet, Outcome, Saga
from provisioning.step_context import (
    Journal,
    StepContext,
    StopSignal,
    TenantFacts,
    current_stop_token,
)
from runtime.settings import Settings


@dataclass(frozen=True)
class Claim:
    """The right to make one move, with a random fencing token. Writes with an older token are rejected.

    ``time_left`` is the rest of the attempt's timeout. ``starts_attempt``: the attempt begins with this claim.
    ``position`` is what the worker remembers of the run, from the time ``claimed_at`` (``time.monotonic``).
    """

    run_id: UUID
    token: UUID
    move: Forward | Backward
    attempt: int
    time_left: timedelta
    interruptible: bool
    starts_attempt: bool
    names: ResourceNames
    tenant: TenantFacts
    parts_done: int
    position: Position = field(repr=False)
    settings: Settings = field(repr=False)
    claimed_at: float

    @property
    def renewed_at(self) -> float:
        """When a lease of full length with the same end would have begun (``time.monotonic``)."""
        until = self.position.run.lease_until
        assert until is not None, "a claimed run has a lease"
        left: timedelta = until - self.position.now
        return self.claimed_at - (self.settings.lease - left).total_seconds()

    @property
    def backward(self) -> bool:
        """Whether the move is a compensation. A cancel does not stop it."""
        return isinstance(self.move, Backward)

    def perform(
        self,
        saga: Saga,
        infrastructure: Infrastructure,
        journal: Journal,
        stop_signal: StopSignal,
        pace: timedelta = timedelta(0),
    ) -> Outcome:
        """Run the step's action or compensation. No transaction is open: this may take minutes.

        Raises what the step raises.
        """
        step = saga[self.move.step]
        ctx = StepContext(infrastructure, self.names, self.tenant, self.attempt, journal, stop_signal, self.parts_done)
        if self.attempt == 1 and self.starts_attempt and not self.backward:
            ctx.simulate_delay(pace)
        ctx.checkpoint()
        performing = current_stop_token.set(ctx)
        try:
            outcome = (step.undo if self.backward else step.action)(ctx) or Done()
        finally:
            current_stop_token.reset(performing)
        if isinstance(outcome, NotYet):
            ctx.checkpoint()
        return outcome


def tenant_facts(tenant: TenantValues, settings: Settings) -> TenantFacts:
    """The facts of a tenant that its steps use."""
    return TenantFacts(
        slug=tenant.slug,
        name=tenant.name,
        organisation_slug=tenant.organisation_slug,
        region=tenant.region,
        plan=tenant.plan_code,
        first_admin_email=tenant.first_admin_email,
        host_name=settings.hostname(tenant.address),
        url=settings.tenant_url(tenant.address),
        console_url=settings.console_url,
    )
