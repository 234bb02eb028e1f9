"""A Postgres outage during running steps loses no result and counts no attempt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from devserver import directories
from devserver.processes import Child
from devserver.servers import FAST, Postgres
from models import StepStatus, TenantState
from runtime.migrations import migrate
from runtime.settings import Settings
from tests.builders import settings_with
from tests.waiting import wait_until
from tests.worker_pool import WorkerPool, worker_pool_for
from workers.process import WorkerProcess
from workers.running_steps import RunningStep

LEASE = timedelta(seconds=3)
RECOVERY_TIME = 5.0
"""Seconds within which every run in flight continues: threads retry every 0.5 s, a released step waits for 1.2 s, its
message is considered lost after 1 s, the next sweep (1 s) sends another, and 1 s is left to claim it."""

STEP = "deploy_workloads"


@dataclass
class Server:
    """A Postgres that can be stopped, and started again on the same data."""

    postgres: Postgres
    running: Child

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.running.stop()
        yield
        self.running = self.postgres.start()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with directories.temporary("tenantry-test-") as folder:
        postgres = Postgres(directories.prepare(folder), FAST)
        built = Server(postgres, postgres.start())
        postgres.create_database("tenantry")
        yield built
        built.running.stop()


@pytest.fixture(scope="module")
def settings(server: Server, environment: dict[str, str], redis_url: str) -> Settings:
    settings = settings_with(
        server.postgres.url("tenantry"),
        redis_url=redis_url,
        lease=LEASE,
        lease_renewal=timedelta(seconds=0.5),
        forward_threads=2,
        compensation_threads=1,
    )
    migrate(settings)
    return settings


@pytest.fixture
def worker_pool(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    with worker_pool_for(settings, monkeypatch) as built:
        yield built


def running_step_of(worker: WorkerProcess) -> RunningStep:
    (running_step,) = worker._running_steps.all_steps()
    return running_step


def worker_in_a_call(worker_pool: WorkerPool) -> WorkerProcess:
    """A worker with a step that waits for a reply of the deployer."""
    worker_pool.harness.faults.hang("deployer.deploy")
    worker = worker_pool.start_worker()
    worker_pool.harness.create()
    worker_pool.await_call("deployer.deploy")
    return worker


def test_a_step_that_ends_during_an_outage_is_recorded_after_it(worker_pool: WorkerPool, server: Server) -> None:
    worker = worker_in_a_call(worker_pool)

    with server.outage():
        worker_pool.harness.faults.release_all()
        wait_until(lambda: not worker._running_steps.all_steps())
    wait_until(lambda: worker_pool.harness.step(STEP).status is StepStatus.DONE, within=RECOVERY_TIME)
    worker_pool.await_state(TenantState.ACTIVE)

    assert worker_pool.harness.faults.calls.count("deployer.deploy") == 1
    assert worker_pool.harness.step(STEP).attempts == 1


def test_a_step_whose_lease_expires_in_an_outage_is_retried_without_counting_an_attempt(
    worker_pool: WorkerPool, server: Server
) -> None:
    running_step = running_step_of(worker_in_a_call(worker_pool))

    with server.outage():
        wait_until(lambda: running_step.stop_signal.reason is not None, within=LEASE.total_seconds() + RECOVERY_TIME)
        worker_pool.harness.faults.release_all()
    wait_until(lambda: worker_pool.harness.step(STEP).status is StepStatus.DONE, within=RECOVERY_TIME)
    worker_pool.await_state(TenantState.ACTIVE)

    assert worker_pool.harness.step(STEP).attempts == 1
    assert not [line for line in worker_pool.harness.event_lines() if "failed" in line]


def test_a_worker_that_is_stopped_in_an_outage_ends_after_its_drain_timeout(
    worker_pool: WorkerPool, server: Server
) -> None:
    worker_pool.settings = worker_pool.settings.model_copy(update={"drain_timeout": timedelta(seconds=0.5)})
    worker = worker_in_a_call(worker_pool)

    with server.outage():
        worker_pool.harness.faults.release_all()
        wait_until(lambda: not worker._running_steps.all_steps())
        worker_pool.stop_worker(worker)
    worker_pool.start_worker()
    worker_pool.await_state(TenantState.ACTIVE)

    assert worker_pool.harness.step(STEP).attempts == 2
