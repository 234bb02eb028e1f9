"""Keeps the leases of living work alive, and lets those of dead or overdue work lapse."""

import logging
import time
from collections.abc import Mapping
from uuid import UUID

from provisioning import holding
from provisioning.holding import Renewal
from provisioning.saga import StopReason
from runtime.database import Database
from runtime.settings import Settings
from workers.live import LiveClaims, Performance
from workers.threads import Repeating

logger = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between looks at deadlines."""


class Heartbeat(Repeating):
    """Renews all claims in one transaction, and tells each what it learns: cancelled, lost, or out of time."""

    def __init__(self, database: Database, live: LiveClaims, settings: Settings) -> None:
        super().__init__("heartbeat")
        self._database = database
        self._live = live
        self._lease = settings.lease
        self._renew_every = settings.lease_renewal.total_seconds()
        self._renewal_due = 0.0
        self._unrenewed_because = StopReason.LEASE_LOST

    def once(self) -> float:
        """Stop what is out of time, and renew the rest when it is due."""
        now = time.monotonic()
        for performance in self._live.everything():
            self._check_time(performance, now)
        if now >= self._renewal_due:
            self.renew()
            self._renewal_due = now + self._renew_every
        return TICK

    def renew(self) -> None:
        """Renew every claim that is not hopelessly overdue, and pass on what the rows say."""
        began = time.monotonic()
        kept = {one.claim.run_id: one for one in self._live.everything() if not self._hopeless(one)}
        if not kept:
            return
        tokens = {run_id: performance.claim.token for run_id, performance in kept.items()}
        for renewal in self._renewals(tokens):
            performance = kept.pop(renewal.run_id)
            if renewal.extended:
                performance.renewed_at = began
            if renewal.cancelled:
                self._live.cancel(renewal.run_id)
        for lost in kept.values():
            lost.trip.pull(StopReason.LEASE_LOST)
            self._live.forget(lost.claim)

    def _renewals(self, tokens: Mapping[UUID, UUID]) -> list[Renewal]:
        """Ask Postgres. A lease that ran out while it was away is no step's fault, and most likely still ours."""
        self._unrenewed_because = StopReason.RECORDS_AWAY
        renewals = self._database.transact(holding.renew, tokens, self._lease)
        self._unrenewed_because = StopReason.LEASE_LOST
        return renewals

    def _check_time(self, performance: Performance, now: float) -> None:
        if now >= performance.deadline:
            performance.trip.pull(StopReason.TIMED_OUT)
        if now - performance.renewed_at >= self._lease.total_seconds():
            performance.trip.pull(self._unrenewed_because)

    def _hopeless(self, performance: Performance) -> bool:
        """Whether it ignores having been told to stop for a whole lease: let somebody else take over."""
        return performance.trip.ignored_for(self._lease.total_seconds())
