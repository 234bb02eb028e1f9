"""Asks Postgres what is due and nobody is doing. This, and not the broker, is why every run goes on."""

import logging
import time
from collections.abc import Collection, Sequence
from uuid import UUID

from models import Run, RunStatus
from provisioning import due_runs, idempotency
from provisioning.decisions import BACKWARD
from provisioning.due_runs import Survey
from runtime.database import Database, clock
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.dispatcher import Dispatcher
from workers.periodic_thread import PeriodicThread

logger = logging.getLogger(__name__)

MIN_PAUSE = 0.02
"""Seconds."""

PAUSE_AFTER_OUTAGE = 1.0
"""Seconds between Postgres's return and the first sweep: longer than whoever insists on a record rests."""

KEY_CLEANUP_INTERVAL = 60.0
"""Seconds."""

MAX_BACKLOG = 200
"""Messages that wait in a queue. With so many there is work enough, and to ask a second time would only double them."""

STATUSES_OF_QUEUE = {FORWARD_QUEUE: frozenset(RunStatus) - BACKWARD, COMPENSATION_QUEUE: BACKWARD}
"""The queue on which runs in these statuses are served."""


class Sweeper(PeriodicThread):
    """One in every worker process; they do not hinder each other (SKIP LOCKED)."""

    def __init__(self, database: Database, dispatcher: Dispatcher, settings: Settings) -> None:
        super().__init__("sweeper")
        self._database = database
        self._dispatcher = dispatcher
        self._interval = settings.sweep_interval.total_seconds()
        self._reported: set[UUID] = set()
        self._key_cleanup_due = 0.0
        self._was_unavailable = False

    def run_once(self) -> float:
        """End and nudge what is due, cancel what is overdue, report what is stuck; rest until the next is due.

        With more at hand than fits into a sweep it rests as long as it worked: others have something to do, too. After
        an outage those that hold a claim write first: a lease that lapsed meanwhile is not given away before.
        """
        if self._was_unavailable:
            self._database.transact(clock)  # raises while Postgres still is
            self._was_unavailable = False
            return PAUSE_AFTER_OUTAGE
        self._was_unavailable = True
        rest = self._sweep()
        self._was_unavailable = False
        return rest

    def _sweep(self) -> float:
        began = time.monotonic()
        more = [self._database.transact(due_runs.end_due_runs)]
        more += [self._redispatch(queue, statuses) for queue, statuses in STATUSES_OF_QUEUE.items()]
        seen = self._database.transact(due_runs.survey)
        for tenant_id, run_id in seen.overdue:
            self._cancel_overdue(tenant_id, run_id)
        self._report(seen.stuck)
        self._delete_expired_keys()
        if any(more):
            return min(max(time.monotonic() - began, MIN_PAUSE), self._interval)
        return self._pause_until_next(seen)

    def _redispatch(self, queue: str, statuses: Collection[RunStatus]) -> bool:
        """What cannot be sent is not nudged either: so it will be the moment that the broker is back."""
        waiting = self._dispatcher.backlog(queue)
        if waiting is None:
            return False
        return self._database.transact(due_runs.redispatch_due_runs, statuses, again=waiting < MAX_BACKLOG)

    def _pause_until_next(self, seen: Survey) -> float:
        if seen.next_due_in is None:
            return self._interval
        return min(max(seen.next_due_in.total_seconds(), MIN_PAUSE), self._interval)

    def _delete_expired_keys(self) -> None:
        """Idempotency keys whose day is over."""
        if time.monotonic() >= self._key_cleanup_due:
            self._database.transact(idempotency.delete_expired)
            self._key_cleanup_due = time.monotonic() + KEY_CLEANUP_INTERVAL

    def _cancel_overdue(self, tenant_id: UUID, run_id: UUID) -> None:
        try:
            if self._database.transact(due_runs.cancel_overdue_run, tenant_id, run_id):
                logger.info("cancelled a run past its deadline", extra={"run": run_id})
        except Exception:
            # One run that cannot be cancelled must not shield the others.
            logger.exception("a run past its deadline could not be cancelled", extra={"run": run_id})

    def _report(self, runs: Sequence[Run]) -> None:
        stuck = {run.id: run for run in runs}
        for run_id in stuck.keys() - self._reported:
            run = stuck[run_id]
            facts = {"run": run_id, "tenant": run.tenant_id, "error": run.error}
            logger.error("a run is STUCK and needs resumeCompensation", extra=facts)
        self._reported = set(stuck)
