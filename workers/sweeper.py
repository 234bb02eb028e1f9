"""Finds due runs in Postgres that no worker performs. Runs make progress because of it, not because of the broker."""

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from models import Run, RunStatus
from provisioning import denials, due_runs, idempotency, run_store
from provisioning.decisions import BACKWARD
from provisioning.due_work import DueWork, due_work
from runtime.database import Database, clock
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.dispatcher import Dispatcher
from workers.periodic_thread import PeriodicThread
from workers.presence import LostWorkers, Presence

logger = logging.getLogger(__name__)

MIN_PAUSE = 0.1
"""Seconds between two sweeps: a tenth of the shortest wait, so that one sweep finds many waits that are over."""

PAUSE_AFTER_OUTAGE = 1.0
"""Seconds from the return of Postgres to the first sweep: longer than MAX_BACK_OFF, the longest pause of a worker that
retries to record an outcome."""

HOUSEKEEPING_INTERVAL = 60.0
"""Seconds between two deletions of expired idempotency keys, and between two summaries of denied attempts."""

NEVER = timedelta(days=365)

MAX_BACKLOG = 200
"""Messages in a queue. With this many the workers are busy, and sending wake-ups again would only duplicate them."""

STATUSES_OF_QUEUE = {FORWARD_QUEUE: frozenset(RunStatus) - BACKWARD, COMPENSATION_QUEUE: BACKWARD}
"""The statuses of the runs that each queue serves."""


class Sweeper(PeriodicThread):
    """Runs in every worker process. Sweepers do not block each other (SKIP LOCKED).

    With ``presence``, the session lock of its process, it also ends the leases of processes that died.
    """

    def __init__(
        self, database: Database, dispatcher: Dispatcher, settings: Settings, presence: Presence | None = None
    ) -> None:
        super().__init__("sweeper")
        self._database = database
        self._dispatcher = dispatcher
        self._presence = presence or Presence()
        self._lost_workers = LostWorkers(self._presence)
        self._lease = settings.lease
        self._interval = settings.sweep_interval.total_seconds()
        self._undo_alarm = settings.undo_alarm
        self._reported_stuck: set[UUID] = set()
        self._housekeeping_due = 0.0
        self._was_unavailable = False

    def run_once(self) -> float:
        """End leases of lost workers, end or dispatch due runs, cancel overdue runs, report delayed and stuck undos.

        Pause until the next run is due. One statement finds out what there is to do, and nothing else is sent for what
        there is not.

        When more runs are due than one sweep handles, the pause is as long as the sweep was, to leave capacity for
        other work. After an outage of Postgres the first sweep waits, so that the workers can record their outcomes:
        until then a lease that expired during the outage is not given to another worker.
        """
        if self._was_unavailable:
            self._database.transact(clock)  # raises while Postgres is still unavailable
            self._was_unavailable = False
            return PAUSE_AFTER_OUTAGE
        self._was_unavailable = True
        pause = self._sweep()
        self._was_unavailable = False
        return pause

    def _sweep(self) -> float:
        work = self._due_work()
        if lost := self._lost_workers.after(work.locks):
            for owner in lost:
                self._end_leases(owner)
            work = self._due_work()  # their runs are due now
        began = time.monotonic()
        more = self._sweep_runs(work)
        self._keep_house()
        took = time.monotonic() - began
        if more:
            return min(max(took, MIN_PAUSE), self._interval)
        return self._pause_until(work.next_due_in, took)

    def _due_work(self) -> DueWork:
        return self._database.execute(due_work, self._presence.locked_owner, self._lease, self._undo_alarm)

    def _end_leases(self, owner: str) -> None:
        if runs := self._database.execute(run_store.end_leases, owner):
            logger.warning("worker lost, its runs continue on others", extra={"owner": owner, "runs": runs})

    def _sweep_runs(self, work: DueWork) -> bool:
        """Do what is due. Returns whether there may be more of it."""
        more = False
        if work.ends:
            more |= self._database.execute(due_runs.end_due_runs)
        if work.forward:
            more |= self._redispatch(FORWARD_QUEUE)
        if work.backward:
            more |= self._redispatch(COMPENSATION_QUEUE)
        if work.overdue:
            for tenant_id, run_id in self._database.transact(due_runs.overdue_runs):
                self._cancel_overdue(tenant_id, run_id)
        if work.delayed:
            for run_id in self._database.transact(due_runs.delayed_undos, self._undo_alarm):
                self._warn_of_delay(run_id)
        if self._reported_stuck.issuperset(work.stuck):
            self._reported_stuck.intersection_update(work.stuck)
        else:
            self._report(self._database.transact(due_runs.stuck_runs))
        return more

    def _redispatch(self, queue: str) -> bool:
        """Send wake-ups for due runs. Without a broker none is marked as dispatched: all are sent when it is back."""
        backlog = self._dispatcher.backlog(queue)
        if backlog is None:
            return False
        statuses = STATUSES_OF_QUEUE[queue]
        return self._database.execute(due_runs.redispatch_due_runs, statuses, lost_after=_lost_after(backlog))

    def _pause_until(self, next_due_in: timedelta | None, passed: float) -> float:
        """Until the next run is due, which was known ``passed`` seconds ago, or until another reason for a sweep."""
        pauses = [self._interval, self._lost_workers.next_look_in]
        if next_due_in is not None:
            pauses.append(next_due_in.total_seconds() - passed)
        return max(MIN_PAUSE, min(pause for pause in pauses if pause is not None))

    def _keep_house(self) -> None:
        """Delete expired idempotency keys and summarise denied attempts, when that is due."""
        if time.monotonic() >= self._housekeeping_due:
            self._database.transact(idempotency.delete_expired)
            self._database.transact(denials.summarise_denials)
            self._housekeeping_due = time.monotonic() + HOUSEKEEPING_INTERVAL

    def _cancel_overdue(self, tenant_id: UUID, run_id: UUID) -> None:
        try:
            if self._database.transact(due_runs.cancel_overdue_run, tenant_id, run_id):
                logger.info("run past its deadline cancelled", extra={"run": run_id})
        except Exception:
            # One run that cannot be cancelled must not block the others.
            logger.exception("cancelling a run past its deadline failed", extra={"run": run_id})

    def _warn_of_delay(self, run_id: UUID) -> None:
        """Warn of an undo that hangs, once: the sweeper that emits the event also writes the log line."""
        try:
            facts = self._database.transact(due_runs.report_delayed_undo, run_id, self._undo_alarm)
        except Exception:
            # One run that cannot be reported must not block the others.
            logger.exception("reporting a delayed undo failed", extra={"run": run_id})
            return
        if facts is not None:
            shown = {"report" if name == "message" else name: value for name, value in facts.items()}
            logger.warning("undo is delayed", extra={"run": run_id, **shown})

    def _report(self, runs: Sequence[Run]) -> None:
        stuck = {run.id: run for run in runs}
        for run_id in stuck.keys() - self._reported_stuck:
            run = stuck[run_id]
            facts = {
                "run": run_id,
                "tenant": run.tenant_id,
                "step": run.stuck_step,
                "error": run.stuck_error,
                "needs": "resumeCompensation",
            }
            logger.error("run is stuck", extra=facts)
        self._reported_stuck = set(stuck)


def _lost_after(backlog: int) -> timedelta:
    """When a wake-up counts as lost: soon if its queue is empty, and never while the workers cannot keep up."""
    if backlog == 0:
        return due_runs.REDISPATCH_AFTER
    return due_runs.LOST_AFTER if backlog < MAX_BACKLOG else NEVER
