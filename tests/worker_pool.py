"""Real workers on a real broker, in this process, with infrastructure in memory that can be made to fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

import adapters
from models import RunStatus, TenantState
from models.run import LIVE_STATUSES
from provisioning.ports import Infrastructure
from runtime.database import Database
from runtime.settings import Settings
from tests.run_harness import RunHarness, run_harness_in
from tests.waiting import wait_until
from workers.dispatcher import Dispatcher
from workers.process import WorkerProcess


@dataclass
class WorkerPool:
    """A run harness that sends its wake-ups to the broker, and the worker processes that consume them."""

    harness: RunHarness
    settings: Settings
    workers: list[WorkerProcess] = field(default_factory=list)

    def start_worker(self, settings: Settings | None = None) -> WorkerProcess:
        worker = WorkerProcess(settings or self.settings)
        self.workers.append(worker)
        worker.start()
        return worker

    def stop_worker(self, worker: WorkerProcess) -> None:
        self.workers.remove(worker)
        worker.stop()

    def await_call(self, call: str, *, times: int = 1) -> None:
        """Wait until a step has begun this call of an adapter."""
        wait_until(lambda: self.harness.faults.calls.count(call) >= times, within=40)

    def await_status(self, status: RunStatus, *, within: float = 40) -> None:
        wait_until(lambda: self.harness.run().status is status, within=within)

    def await_state(self, state: TenantState, *, within: float = 40) -> None:
        wait_until(lambda: self.harness.tenant().state is state, within=within)

    def await_completion(self, *, within: float = 60) -> None:
        """Wait until no run of the organisation is live and no welcome e-mail is left to send."""
        wait_until(lambda: not self._has_unfinished_run(), within=within)

    def _has_unfinished_run(self) -> bool:
        with self.harness.database.engine.connect() as connection:
            unfinished = "status = ANY(%s) OR status = 'SUCCEEDED' AND due_at IS NOT NULL"
            query = f"SELECT count(*) FROM runs WHERE organisation_id = %s AND ({unfinished})"
            live = [status.value for status in LIVE_STATUSES]
            found = connection.exec_driver_sql(query, (self.harness.organisation.id, live)).scalar_one()
        return bool(found)


@contextmanager
def worker_pool_for(settings: Settings, patch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """A pool without workers. Its workers use the harness's infrastructure."""
    with run_harness_in(settings) as harness:
        worker_pool = WorkerPool(harness, settings)
        dispatcher = Dispatcher(settings)
        harness.database.deliver = dispatcher

        def infrastructure(_: Settings, __: Database) -> Infrastructure:
            return worker_pool.harness.infrastructure

        patch.setattr(adapters, "infrastructure", infrastructure)
        try:
            yield worker_pool
        finally:
            harness.faults.release_all()
            for worker in worker_pool.workers:
                worker.stop()
            dispatcher.close()
