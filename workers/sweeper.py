"""Asks Postgres what is due and nobody is doing. This, and not the broker, is why every run goes on."""

import logging
from collections.abc import Collection
from uuid import UUID

from models import RunStatus
from provisioning import duty, idempotency
from provisioning.decisions import BACKWARD
from runtime.database import Database, clock
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE
from workers.courier import Courier
from workers.threads import Repeating

logger = logging.getLogger(__name__)

SHORTEST_REST = 0.02
"""Seconds."""

FULL = 200
"""Messages that wait in a queue. With so many there is work enough, and to ask a second time would only double them."""

SERVED_BY = {FORWARD_QUEUE: frozenset(RunStatus) - BACKWARD, COMPENSATION_QUEUE: BACKWARD}
"""The queue on which runs in these statuses are served."""


class Sweeper(Repeating):
    """One in every worker process; they do not hinder each other (SKIP LOCKED)."""

    def __init__(self, database: Database, courier: Courier, settings: Settings) -> None:
        super().__init__("sweeper")
        self._database = database
        self._courier = courier
        self._interval = settings.sweep_interval.total_seconds()
        self._reported: set[UUID] = set()

    def once(self) -> float:
        """Nudge what is due, cancel and report what is overdue, forget what has expired; rest until the next is due."""
        more = [self._nudge(queue, statuses) for queue, statuses in SERVED_BY.items()]
        for tenant_id, run_id in self._database.transact(duty.overdue_runs):
            self._cancel_overdue(tenant_id, run_id)
        self._report_stuck()
        self._database.transact(idempotency.forget_expired)
        return SHORTEST_REST if any(more) else self._rest()

    def _nudge(self, queue: str, statuses: Collection[RunStatus]) -> bool:
        """What cannot be sent is not nudged either: so it will be the moment that the broker is back."""
        waiting = self._courier.waiting(queue)
        if waiting is None:
            return False
        return self._database.transact(duty.nudge_due_runs, statuses, again=waiting < FULL)

    def _rest(self) -> float:
        with self._database.transaction() as session:
            due, now = duty.next_due(session), clock(session)
        if due is None:
            return self._interval
        return min(max((due - now).total_seconds(), SHORTEST_REST), self._interval)

    def _cancel_overdue(self, tenant_id: UUID, run_id: UUID) -> None:
        try:
            if self._database.transact(duty.cancel_overdue_run, tenant_id, run_id):
                logger.info("cancelled a run past its deadline", extra={"run": run_id})
        except Exception:
            # One run that cannot be cancelled must not shield the others.
            logger.exception("a run past its deadline could not be cancelled", extra={"run": run_id})

    def _report_stuck(self) -> None:
        with self._database.transaction() as session:
            stuck = {run.id: run for run in duty.stuck_runs(session)}
        for run_id in stuck.keys() - self._reported:
            run = stuck[run_id]
            facts = {"run": run_id, "tenant": run.tenant_id, "error": run.error}
            logger.error("a run is STUCK and needs resumeCompensation", extra=facts)
        self._reported = set(stuck)
