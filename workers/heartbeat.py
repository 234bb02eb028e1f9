"""Renews the leases of running steps. A lease of a dead or unresponsive step expires."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from provisioning import run_store
from provisioning.run_store import Renewal
from provisioning.step_context import StopReason
from runtime.database import Database
from runtime.settings import Settings
from workers.periodic_thread import PeriodicThread
from workers.running_steps import RunningStep, RunningSteps

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK = 0.25
"""Seconds between two checks of deadlines while steps are running."""

RENEWED_TOGETHER = 250
"""Leases in one statement: a process keeps thousands of waits, and the cancel of a run waits for the statement."""

IDLE_TICK = 1.0
"""Seconds until the next look for running steps, at most a quarter of the time between two renewals."""


class Heartbeat(PeriodicThread):
    """Renews the leases, 250 in a statement. Stops each step that is cancelled, out of time, or without its lease."""

    def __init__(self, database: Database, running_steps: RunningSteps, settings: Settings) -> None:
        super().__init__("heartbeat")
        self._database = database
        self._running_steps = running_steps
        self._lease = settings.lease
        self._renew_every = settings.lease_renewal.total_seconds()
        self._renewal_due = 0.0
        self._reason_for_missed_renewal = StopReason.LEASE_LOST

    def run_once(self) -> float:
        """Stop the steps that are out of time, renew the leases when that is due, and stop those without a renewal.

        In this order: after a pause of the whole process, as of a virtual machine, leases that no other worker has
        taken are renewed late, and their steps go on.
        """
        now = time.monotonic()
        running_steps = self._running_steps.all_steps()
        # Thousands may wait, so this has to be quick.
        for running_step in running_steps:
            if now >= running_step.deadline:
                running_step.stop_signal.set(StopReason.TIMED_OUT)
        try:
            if now >= self._renewal_due:
                self.renew()
                self._renewal_due = now + self._renew_every
        finally:
            self._stop_unrenewed()
        return TICK if running_steps else min(IDLE_TICK, self._renew_every / 4)

    def renew(self) -> None:
        """Renew the lease of every step that still responds. Stop the steps of cancelled runs and of lost leases."""
        began = time.monotonic()
        unrenewed = {
            step.claim.run_id: step for step in self._running_steps.all_steps() if not self._ignores_stop(step)
        }
        if not unrenewed:
            return
        tokens = {run_id: running_step.claim.token for run_id, running_step in unrenewed.items()}
        for renewal in self._renewals(tokens):
            running_step = unrenewed.pop(renewal.run_id)
            if renewal.extended:
                running_step.renewed_at = began
            if renewal.cancelled:
                self._running_steps.cancel(renewal.run_id)
        for lost in unrenewed.values():
            lost.stop_signal.set(StopReason.LEASE_LOST)
            self._running_steps.forget(lost.claim)

    def _renewals(self, tokens: Mapping[UUID, UUID]) -> Iterator[Renewal]:
        """Renew the leases. A lease that expires during an outage of Postgres is most likely still ours, not lost."""
        self._reason_for_missed_renewal = StopReason.DATABASE_UNAVAILABLE
        for some in parts(list(tokens.items()), RENEWED_TOGETHER):
            yield from self._database.execute(run_store.renew, dict(some), self._lease)
        self._reason_for_missed_renewal = StopReason.LEASE_LOST

    def _stop_unrenewed(self) -> None:
        """Stop each step that had no renewal for a whole lease."""
        now, lease = time.monotonic(), self._lease.total_seconds()
        for running_step in self._running_steps.all_steps():
            if now - running_step.renewed_at >= lease:
                running_step.stop_signal.set(self._reason_for_missed_renewal)

    def _ignores_stop(self, running_step: RunningStep) -> bool:
        """Whether the step has ignored its stop signal for a whole lease: another worker has to take over."""
        return running_step.stop_signal.ignored_for(self._lease.total_seconds())


def parts(whole: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    """Parts of this length, and what is left."""
    return (whole[first : first + length] for first in range(0, len(whole), length))
