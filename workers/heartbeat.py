"""Keeps the leases of living work alive, and lets those of dead or overdue work lapse."""

import logging
import time
from collections.abc import Mapping
from uuid import UUID

from provisioning import claims
from provisioning.claims import Renewal
from provisioning.step_context import StopReason
from runtime.database import Database
from runtime.settings import Settings
from workers.periodic_thread import PeriodicThread
from workers.running_steps import RunningStep, RunningSteps

logger = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between looks at deadlines."""


class Heartbeat(PeriodicThread):
    """Renews all claims in one transaction, and tells each what it learns: cancelled, lost, or out of time."""

    def __init__(self, database: Database, running_steps: RunningSteps, settings: Settings) -> None:
        super().__init__("heartbeat")
        self._database = database
        self._running_steps = running_steps
        self._lease = settings.lease
        self._renew_every = settings.lease_renewal.total_seconds()
        self._renewal_due = 0.0
        self._reason_for_missed_renewal = StopReason.LEASE_LOST

    def run_once(self) -> float:
        """Stop what is out of time, and renew the rest when it is due."""
        now = time.monotonic()
        for running_step in self._running_steps.all_steps():
            self._check_time(running_step, now)
        if now >= self._renewal_due:
            self.renew()
            self._renewal_due = now + self._renew_every
        return TICK

    def renew(self) -> None:
        """Renew every claim that is not hopelessly overdue, and pass on what the rows say."""
        began = time.monotonic()
        kept = {one.claim.run_id: one for one in self._running_steps.all_steps() if not self._ignores_stop(one)}
        if not kept:
            return
        tokens = {run_id: running_step.claim.token for run_id, running_step in kept.items()}
        for renewal in self._renewals(tokens):
            running_step = kept.pop(renewal.run_id)
            if renewal.extended:
                running_step.renewed_at = began
            if renewal.cancelled:
                self._running_steps.cancel(renewal.run_id)
        for lost in kept.values():
            lost.stop_signal.set(StopReason.LEASE_LOST)
            self._running_steps.forget(lost.claim)

    def _renewals(self, tokens: Mapping[UUID, UUID]) -> list[Renewal]:
        """Ask Postgres. A lease that ran out while it was away is no step's fault, and most likely still ours."""
        self._reason_for_missed_renewal = StopReason.DATABASE_UNAVAILABLE
        renewals = self._database.transact(claims.renew, tokens, self._lease)
        self._reason_for_missed_renewal = StopReason.LEASE_LOST
        return renewals

    def _check_time(self, running_step: RunningStep, now: float) -> None:
        if now >= running_step.deadline:
            running_step.stop_signal.set(StopReason.TIMED_OUT)
        if now - running_step.renewed_at >= self._lease.total_seconds():
            running_step.stop_signal.set(self._reason_for_missed_renewal)

    def _ignores_stop(self, running_step: RunningStep) -> bool:
        """Whether it ignores having been told to stop for a whole lease: let somebody else take over."""
        return running_step.stop_signal.ignored_for(self._lease.total_seconds())
