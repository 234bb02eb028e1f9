"""Real workers on a real broker complete runs despite lost workers, connections and messages."""

import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import redis
from sqlalchemy import event, update
from sqlmodel import col, select

import adapters.registry
import workers.broker
import workers.sweeper
from devserver import directories
from devserver.servers import Valkey
from models import ActorKind, Run, RunStatus, StepRole, StepStatus, TenantState
from provisioning import cancellation, due_runs
from provisioning.cancellation import BulkCancelResult
from provisioning.lost_workers import MARK, lock_key
from runtime.database import Database, Statements, clock
from runtime.migrations import ROOT, migrate
from runtime.settings import Settings
from tests.builders import settings_with, stray_resource
from tests.scratch_database import scratch_database
from tests.tenant_states import STEPS, compensated_steps
from tests.waiting import wait_until
from tests.worker_pool import WorkerPool, worker_pool_for
from workers.__main__ import main
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE, NAMESPACE
from workers.cancel_listener import CancelListener
from workers.dispatcher import Dispatcher
from workers.presence import GRACE
from workers.process import WorkerProcess
from workers.sweeper import Sweeper

SHORT = {
    "lease": timedelta(seconds=3),
    "lease_renewal": timedelta(seconds=0.5),
    "sweep_interval": timedelta(seconds=0.2),
    "drain_timeout": timedelta(seconds=10),
    "forward_threads": 4,
    "compensation_threads": 2,
}


@pytest.fixture(scope="module")
def settings_of_module(database_url: str, redis_url: str) -> Iterator[Settings]:
    """Settings with a database of this module: workers would also claim the due runs that other tests left."""
    with scratch_database(database_url) as url, redis.Redis.from_url(redis_url) as broker:
        settings = settings_with(url, redis_url=redis_url, **SHORT)
        migrate(settings)
        broker.flushall()
        yield settings


@pytest.fixture
def worker_pool(settings_of_module: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    with worker_pool_for(settings_of_module, monkeypatch) as built:
        yield built


def time_between(worker_pool: WorkerPool, earlier: str, later: str) -> timedelta:
    """The time between two events of the tenant, by the database's clock."""
    at = {event.type.rsplit(".", 1)[-1]: event.created_at for event in worker_pool.harness.events()}
    return at[later] - at[earlier]


def test_a_worker_takes_a_run_to_active(worker_pool: WorkerPool) -> None:
    worker_pool.start_worker()

    worker_pool.harness.create()
    worker_pool.await_completion()

    assert worker_pool.harness.tenant().state is TenantState.ACTIVE
    taken = [step for step in worker_pool.harness.steps() if step.role is not StepRole.CONFIRMATION]
    assert {step.status for step in taken} == {StepStatus.DONE}
    assert {step.attempts for step in taken} == {1}
    assert len(worker_pool.harness.simulated.outbox.mails) == 3


RARE_RENEWALS = {"lease": timedelta(seconds=60), "lease_renewal": timedelta(seconds=30)}
"""Renewals so rare that a cancel within a second was not noticed by a renewal."""


@pytest.mark.parametrize("call", ["deployer.deploy", "deployer.health"])
def test_a_cancel_interrupts_a_call_within_a_second(worker_pool: WorkerPool, call: str) -> None:
    worker_pool.start_worker(worker_pool.settings.model_copy(update=RARE_RENEWALS))

    def cancel_inside(attempt: int) -> timedelta:
        worker_pool.harness.faults.hang(call)
        worker_pool.harness.create(slug=f"shop-{attempt}")
        worker_pool.await_call(call, times=attempt)
        worker_pool.harness.cancel()
        worker_pool.await_state(TenantState.PENDING)
        return time_between(worker_pool, "cancel_requested", "step_interrupted")

    assert fastest_of_three(cancel_inside) < timedelta(seconds=1)
    assert compensated_steps(worker_pool.harness)[-1] == STEPS[0]
    assert worker_pool.harness.existing_resources() == worker_pool.harness.held_resources() == []


def test_a_cancel_interrupts_the_simulated_delay_of_a_step_within_a_second(worker_pool: WorkerPool) -> None:
    worker_pool.start_worker(worker_pool.settings.model_copy(update=RARE_RENEWALS | {"pace": timedelta(seconds=600)}))

    def cancel_inside(attempt: int) -> timedelta:
        worker_pool.harness.create(slug=f"shop-{attempt}")
        wait_until(lambda: worker_pool.harness.step("validate_request").percent is not None, within=40)
        worker_pool.harness.cancel()
        worker_pool.await_state(TenantState.PENDING)
        return time_between(worker_pool, "cancel_requested", "step_interrupted")

    assert fastest_of_three(cancel_inside) < timedelta(seconds=1)


def fastest_of_three(measure: Callable[[int], timedelta]) -> timedelta:
    """The first result under a second, or the best of three: a busy machine may delay some attempts."""
    best = timedelta.max
    for attempt in (1, 2, 3):
        best = min(best, measure(attempt))
        if best < timedelta(seconds=1):
            break
    return best


def test_a_cancel_without_a_notification_is_noticed_by_the_next_renewal(
    worker_pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CancelListener, "run_once", lambda listener: listener.stopping.wait(60))
    worker_pool.harness.faults.hang("deployer.deploy")
    worker_pool.start_worker()
    worker_pool.harness.create()
    worker_pool.await_call("deployer.deploy")

    worker_pool.harness.cancel()
    worker_pool.await_state(TenantState.PENDING)

    assert worker_pool.harness.step("deploy_workloads").attempts == 1
    assert compensated_steps(worker_pool.harness)[0] == "deploy_workloads"


def test_a_worker_keeps_its_lease_during_a_long_call(worker_pool: WorkerPool) -> None:
    worker_pool.harness.faults.hang("deployer.deploy")
    worker_pool.start_worker()
    worker_pool.start_worker()
    worker_pool.harness.create()
    worker_pool.await_call("deployer.deploy")
    first = worker_pool.harness.run()
    assert first.lease_until is not None
    second_end = first.lease_until + worker_pool.settings.lease

    wait_until(lambda: (worker_pool.harness.run().lease_until or second_end) > second_end)

    assert worker_pool.harness.run().lease_token == first.lease_token
    assert worker_pool.harness.step("deploy_workloads").heartbeat_at is not None
    worker_pool.harness.faults.release_all()
    worker_pool.await_completion()
    assert worker_pool.harness.step("deploy_workloads").attempts == 1


def test_a_worker_stops_its_step_and_writes_nothing_after_losing_its_lease(worker_pool: WorkerPool) -> None:
    worker_pool.harness.faults.hang("deployer.deploy")
    worker = worker_pool.start_worker()
    worker_pool.harness.create()
    worker_pool.await_call("deployer.deploy")
    token = uuid4()

    with worker_pool.harness.database.engine.begin() as connection:
        until = "due_at = now() + interval '1 hour', lease_until = now() + interval '1 hour'"
        query = f"UPDATE runs SET lease_token = %s, {until} WHERE id = %s"
        connection.exec_driver_sql(query, (token, worker_pool.harness.run().id))
    wait_until(lambda: not worker._running_steps.all_steps())

    assert worker_pool.harness.run().lease_token == token
    assert worker_pool.harness.step("deploy_workloads").status is StepStatus.RUNNING
    assert worker_pool.harness.event_lines()[-1] == "provisioning.step_started deploy_workloads"


def test_a_step_that_exceeds_its_timeout_is_stopped_and_retried(worker_pool: WorkerPool) -> None:
    worker_pool.harness.faults.hang("deployer.deploy")
    worker_pool.harness.create()
    with worker_pool.harness.database.engine.begin() as connection:
        query = "UPDATE run_steps SET timeout = interval '0.3 s' WHERE run_id = %s AND name = 'deploy_workloads'"
        connection.exec_driver_sql(query, (worker_pool.harness.run().id,))

    worker_pool.start_worker()
    worker_pool.await_completion()

    assert worker_pool.harness.tenant().state is TenantState.ACTIVE
    failure = next(event.data for event in worker_pool.harness.events() if event.type.endswith("step_failed"))
    assert failure["step"] == "deploy_workloads"
    assert failure["will_retry"] is True
    assert failure["error"] == "the attempt exceeded the timeout of the step"
    assert worker_pool.harness.step("deploy_workloads").attempts == 2


def test_a_stopped_worker_releases_its_step_without_counting_an_attempt(worker_pool: WorkerPool) -> None:
    worker_pool.harness.faults.hang("deployer.deploy")
    stopping = worker_pool.start_worker()
    worker_pool.harness.create()
    worker_pool.await_call("deployer.deploy")

    worker_pool.stop_worker(stopping)

    run = worker_pool.harness.run()
    assert (run.status, run.lease_token) == (RunStatus.RUNNING, None)
    worker_pool.start_worker()
    worker_pool.await_completion()
    assert worker_pool.harness.tenant().state is TenantState.ACTIVE
    assert worker_pool.harness.step("deploy_workloads").attempts == 1


DEFAULT_LEASE = {"TENANTRY_LEASE": "15", "TENANTRY_LEASE_RENEWAL": "5"}


@contextmanager
def program(settings: Settings, tmp_path: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m workers`` as an operator starts it, with the real adapters."""
    variables = {
        "TENANTRY_DATABASE_URL": settings.database_url,
        "TENANTRY_REDIS_URL": settings.redis_url,
        "TENANTRY_DEVELOPMENT": "true",
        "TENANTRY_SECRET_KEY": settings.secret_key.get_secret_value(),
        "TENANTRY_LEASE": "3",
        "TENANTRY_LEASE_RENEWAL": "0.5",
        "TENANTRY_PACE": "20",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    with (tmp_path / "worker.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "workers"], cwd=ROOT, env=inherited | variables | more, stdout=log, stderr=log
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait(10)


def test_a_worker_process_gives_way_to_others_of_its_machine(worker_pool: WorkerPool, tmp_path: Path) -> None:
    with program(worker_pool.settings, tmp_path, TENANTRY_WORKER_NICENESS="9") as child:
        wait_until(lambda: os.getpriority(os.PRIO_PROCESS, child.pid) >= 9)


def use_real_adapters(worker_pool: WorkerPool) -> None:
    worker_pool.harness.infrastructure = adapters.registry.infrastructure(
        worker_pool.settings, worker_pool.harness.database
    )


def make_moves_before(worker_pool: WorkerPool, step: str) -> None:
    """Make the moves before a step, which is left to workers."""
    worker_pool.harness.step_runner.infrastructure = worker_pool.harness.infrastructure
    worker_pool.harness.make_moves(until=step)


def test_the_step_of_a_killed_worker_is_retried_by_another_within_three_seconds(
    worker_pool: WorkerPool, tmp_path: Path
) -> None:
    """Long before its lease of 15 s ends."""
    step = "allocate_storage"
    use_real_adapters(worker_pool)
    worker_pool.harness.create()
    make_moves_before(worker_pool, step)
    with program(worker_pool.settings, tmp_path, **DEFAULT_LEASE) as killed:
        wait_until(lambda: worker_pool.harness.step(step).percent is not None, within=60)
        other = worker_pool.start_worker(worker_pool.settings.model_copy(update=RARE_RENEWALS))
        wait_until(lambda: other._presence.age > 2 * GRACE)
        assert (worker_pool.harness.run().lease_owner or "").startswith(f"{socket.gethostname()}:{killed.pid}{MARK}")

        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        wait_until(lambda: worker_pool.harness.step(step).attempts == 2, within=3)

    worker_pool.await_completion()
    assert worker_pool.harness.tenant().state is TenantState.ACTIVE
    assert worker_pool.harness.step(step).attempts == 2


def cut_connection(worker_pool: WorkerPool, worker: WorkerProcess) -> None:
    """End the connection on which a worker holds its lock."""
    held = f"locktype = 'advisory' AND granted AND {lock_key('%s')} = (classid::bigint << 32 | objid::bigint)"
    with psycopg.connect(worker_pool.settings.database_url, autocommit=True) as connection:
        query = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {held}"
        assert connection.execute(query.encode(), [worker._presence.locked_owner]).fetchall() == [(True,)]


def test_a_live_worker_that_loses_its_connection_loses_its_step_only_if_it_cannot_reconnect(
    worker_pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = "deploy_workloads"
    worker_pool.harness.faults.hang("deployer.deploy", times=2)
    performing = worker_pool.start_worker(worker_pool.settings.model_copy(update=RARE_RENEWALS))
    wait_until(lambda: performing._presence.age > 0)
    worker_pool.harness.create()
    worker_pool.await_call("deployer.deploy")
    other = worker_pool.start_worker(worker_pool.settings.model_copy(update=RARE_RENEWALS))
    wait_until(lambda: other._presence.age > 2 * GRACE)
    token = worker_pool.harness.run().lease_token

    cut_connection(worker_pool, performing)
    wait_until(lambda: other._presence.age > 4 * GRACE)

    assert performing._presence.age > GRACE
    assert worker_pool.harness.run().lease_token == token

    def refuse() -> Any:
        raise psycopg.OperationalError("too many connections")

    monkeypatch.setattr(performing._database, "listen", refuse)
    cut_connection(worker_pool, performing)
    worker_pool.await_call("deployer.deploy", times=2)
    worker_pool.harness.faults.release_all()
    worker_pool.await_completion()

    assert worker_pool.harness.tenant().state is TenantState.ACTIVE
    assert worker_pool.harness.step(step).attempts == 2
    completed = [line for line in worker_pool.harness.event_lines() if f"step_completed {step}" in line]
    assert len(completed) == 1


def test_a_worker_program_releases_its_step_on_sigterm_and_exits_with_zero(
    worker_pool: WorkerPool, tmp_path: Path
) -> None:
    use_real_adapters(worker_pool)
    worker_pool.harness.create()
    make_moves_before(worker_pool, "allocate_traffic")
    with program(worker_pool.settings, tmp_path) as stopping:
        wait_until(lambda: worker_pool.harness.step("allocate_traffic").percent is not None, within=60)

        stopping.send_signal(signal.SIGTERM)
        code = stopping.wait(20)

    assert code == 0
    assert worker_pool.harness.run().lease_token is None
    worker_pool.start_worker()
    worker_pool.await_completion()
    assert worker_pool.harness.tenant().state is TenantState.ACTIVE
    assert worker_pool.harness.step("allocate_traffic").attempts == 1


def test_a_worker_with_an_invalid_setting_exits_with_one_line(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("dramatiq_restart_delay", "500")
    monkeypatch.setenv("TENANTRY_LEASE", "soon")

    code = main([])

    assert code == 2
    error_output = capsys.readouterr().err
    assert error_output.startswith("Invalid value for TENANTRY_LEASE: ")
    assert error_output.count("\n") == 1


def test_runs_complete_after_the_broker_lost_all_messages(worker_pool: WorkerPool, redis_url: str) -> None:
    worker_pool.start_worker(
        worker_pool.settings.model_copy(update={"pace": timedelta(seconds=0.2), "forward_threads": 10})
    )
    tenants = create_many(worker_pool, 10)
    wait_until(lambda: worker_pool.harness.faults.calls.count("storage.create") >= 5)
    for tenant_id in tenants[::2]:
        worker_pool.harness.tenant_id = tenant_id
        worker_pool.harness.cancel()

    with redis.Redis.from_url(redis_url) as broker:
        broker.flushall()
    worker_pool.await_completion()

    assert states(worker_pool, tenants) == [TenantState.PENDING, TenantState.ACTIVE] * 5


def create_many(worker_pool: WorkerPool, number: int) -> list[UUID]:
    return [worker_pool.harness.create(slug=f"shop-{index}").tenant.id for index in range(number)]


def states(worker_pool: WorkerPool, tenants: Sequence[UUID]) -> list[TenantState]:
    found = []
    for tenant_id in tenants:
        worker_pool.harness.tenant_id = tenant_id
        found.append(worker_pool.harness.tenant().state)
    return found


def test_lost_messages_are_sent_again(worker_pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_runs, "REDISPATCH_AFTER", timedelta(seconds=0.2))
    rng, send, lost = random.Random(3), Dispatcher.__call__, list[Any]()

    def send_some(dispatcher: Dispatcher, wake_ups: Sequence[Any]) -> None:
        if rng.random() < 0.4:
            lost.extend(wake_ups)
        else:
            send(dispatcher, wake_ups)

    monkeypatch.setattr(Dispatcher, "__call__", send_some)
    worker_pool.start_worker()
    tenants = create_many(worker_pool, 3)

    worker_pool.await_completion()

    assert states(worker_pool, tenants) == [TenantState.ACTIVE] * 3
    assert lost


def postpone_runs_of_earlier_tests(worker_pool: WorkerPool) -> None:
    """Absence checks of earlier tests become due after 30 s, and a sweep would dispatch them too."""
    earlier = "organisation_id <> %s AND due_at IS NOT NULL"
    with worker_pool.harness.database.engine.begin() as connection:
        query = f"UPDATE runs SET due_at = now() + interval '1 day' WHERE {earlier}"
        connection.exec_driver_sql(query, (worker_pool.harness.organisation.id,))


def test_a_sweep_adds_nothing_to_a_full_queue_and_fills_the_other(
    worker_pool: WorkerPool, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_runs, "REDISPATCH_AFTER", timedelta(0))
    monkeypatch.setattr(due_runs, "LOST_AFTER", timedelta(microseconds=1))
    monkeypatch.setattr(workers.sweeper, "MAX_BACKLOG", 3)
    postpone_runs_of_earlier_tests(worker_pool)
    create_many(worker_pool, 3)
    worker_pool.harness.create(slug="cancelled")
    worker_pool.harness.make_moves(until="allocate_identity")
    worker_pool.harness.cancel()
    sweeper = Sweeper(worker_pool.harness.database, Dispatcher(worker_pool.settings), worker_pool.settings)
    with redis.Redis.from_url(redis_url) as broker:
        before, *after = (
            queue_lengths(broker),
            sweeper.run_once(),
            sweeper.run_once(),
            sweeper.run_once(),
            queue_lengths(broker),
        )
        broker.flushall()

    forward, backward = before
    assert forward >= 3
    assert after[-1] == (forward, 3)
    assert backward < 3
    worker_pool.start_worker()
    worker_pool.await_completion()


def test_a_run_without_steps_to_undo_ends_during_a_broker_outage(worker_pool: WorkerPool) -> None:
    tenants = create_many(worker_pool, 3)
    worker_pool.harness.transact(cancellation.cancel_provisionings, tenants, by=worker_pool.harness.operator)
    no_broker = worker_pool.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})

    Sweeper(worker_pool.harness.database, Dispatcher(no_broker), worker_pool.settings).run_once()

    assert states(worker_pool, tenants) == [TenantState.PENDING] * 3


def test_a_full_queue_takes_a_run_that_was_never_dispatched(
    worker_pool: WorkerPool, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.sweeper, "MAX_BACKLOG", 0)
    postpone_runs_of_earlier_tests(worker_pool)
    [tenant_id] = create_many(worker_pool, 1)
    with worker_pool.harness.database.transaction() as session:
        session.execute(update(Run).where(col(Run.tenant_id) == tenant_id).values(dispatched_at=None))
    sweeper = Sweeper(worker_pool.harness.database, Dispatcher(worker_pool.settings), worker_pool.settings)
    with redis.Redis.from_url(redis_url) as broker:
        before, *after = (queue_lengths(broker), sweeper.run_once(), sweeper.run_once(), queue_lengths(broker))

    assert after[-1] == (before[0] + 1, before[1])
    worker_pool.start_worker()
    worker_pool.await_completion()


def queue_lengths(broker: redis.Redis) -> tuple[int, ...]:
    """Messages in the queues of steps and of compensations."""
    return tuple(broker.llen(f"{NAMESPACE}:{queue}") for queue in (FORWARD_QUEUE, COMPENSATION_QUEUE))


def test_an_idle_process_only_waits_and_looks_once_a_sweep(
    worker_pool: WorkerPool, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep is one statement. A wait is one command and one fetch, a script with two commands."""
    monkeypatch.setattr(workers.broker, "LONGEST_WAIT", 0.1)
    postpone_runs_of_earlier_tests(worker_pool)
    worker = worker_pool.start_worker()
    statements, blocked = list[str](), 2
    with redis.Redis.from_url(redis_url) as broker:
        wait_until(lambda: broker.info("clients")["blocked_clients"] == blocked)
        wait_until(lambda: worker._sweeper._housekeeping_due > 0)
        record_statements(worker._database, monkeypatch, statements)
        before = calls_of_commands(broker)
        wait_until(lambda: len(statements) >= 5)
        wait_until(lambda: calls_of_commands(broker)["blpop"] >= before["blpop"] + 10)
        calls = calls_of_commands(broker) - before

    assert {"AS overdue" in statement for statement in statements} == {True}
    assert set(calls) - {"info"} == {"blpop", "evalsha", "zadd", "lpop"}
    assert calls["evalsha"] <= calls["blpop"] + blocked


def record_statements(database: Database, monkeypatch: pytest.MonkeyPatch, into: list[str]) -> None:
    """Record what the ORM and the driver execute from now on."""
    execute = Statements.rows

    def rows(statements: Statements, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        into.append(statement)
        return execute(statements, statement, values)

    monkeypatch.setattr(Statements, "rows", rows)
    event.listen(database.engine, "before_cursor_execute", lambda *facts: into.append(facts[2]))


def calls_of_commands(broker: redis.Redis) -> Counter[str]:
    stats: Any = broker.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()})


def test_bulk_cancels_in_any_order_and_workers_do_not_deadlock(worker_pool: WorkerPool) -> None:
    worker_pool.start_worker(
        worker_pool.settings.model_copy(update={"pace": timedelta(seconds=0.3), "forward_threads": 6})
    )
    worker_pool.harness.faults.hang("deployer.health", times=24)  # no run is active before its cancel
    tenants, rng, before = create_many(worker_pool, 24), random.Random(13), deadlocks(worker_pool)
    worker_pool.await_call("storage.create", times=3)

    def cancel_all(order: Sequence[UUID]) -> list[BulkCancelResult]:
        parts = [order[start : start + 8] for start in range(0, len(order), 8)]
        by = worker_pool.harness.operator
        return [
            one
            for part in parts
            for one in worker_pool.harness.transact(cancellation.cancel_provisionings, part, by=by)
        ]

    with ThreadPoolExecutor(3) as pool:
        bulk_cancels = [pool.submit(cancel_all, rng.sample(tenants, len(tenants))) for _ in range(3)]
        answers = [answer for future in bulk_cancels for answer in future.result(60)]
    worker_pool.await_completion()

    first = [answer.tenant_id for answer in answers if answer.run_id and not answer.already_requested]
    assert sorted(first) == sorted(tenants)
    assert states(worker_pool, tenants) == [TenantState.PENDING] * 24
    assert deadlocks(worker_pool) == before


def deadlocks(worker_pool: WorkerPool) -> int:
    with worker_pool.harness.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        found: int = connection.exec_driver_sql(query).scalar_one()
    return found


def test_a_cancel_commits_during_a_broker_outage_and_completes_after_it(
    worker_pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.2)
    with directories.temporary("tenantry-test-") as folder:
        broker = Valkey(directories.prepare(folder))
        running = broker.start()
        settings = worker_pool.settings.model_copy(update={"redis_url": broker.url})
        dispatcher = Dispatcher(settings)
        worker_pool.harness.database.deliver = dispatcher
        worker_pool.harness.faults.hang("deployer.deploy")
        worker_pool.start_worker(settings)
        worker_pool.harness.create()
        worker_pool.await_call("deployer.deploy")

        running.stop()
        worker_pool.harness.cancel(reason="broker or no broker")
        worker_pool.await_status(RunStatus.CANCELLING)
        wait_until(lambda: worker_pool.harness.step("deploy_workloads").status is StepStatus.INTERRUPTED)
        running = broker.start()
        worker_pool.await_state(TenantState.PENDING)

        dispatcher.close()
        worker_pool.stop_worker(worker_pool.workers[0])
        running.stop()
    assert worker_pool.harness.existing_resources() == []


def test_compensations_do_not_wait_for_forward_work(worker_pool: WorkerPool) -> None:
    worker_pool.harness.create(slug="cancelled")
    cancelled = worker_pool.harness.tenant_id
    worker_pool.harness.make_moves(until="deploy_workloads")
    worker_pool.harness.cancel()
    worker_pool.harness.faults.hang("storage.create", times=10)
    hanging = create_many(worker_pool, 10)

    worker_pool.start_worker(worker_pool.settings.model_copy(update={"forward_threads": 1}))
    worker_pool.await_call("storage.create", times=2)  # the first call is that of the cancelled run
    worker_pool.harness.tenant_id = cancelled
    worker_pool.await_state(TenantState.PENDING)

    assert states(worker_pool, hanging) == [TenantState.PROVISIONING] * 10
    for tenant_id in hanging:
        worker_pool.harness.tenant_id = tenant_id
        worker_pool.harness.cancel()
    worker_pool.await_completion()


def test_workers_survive_the_loss_of_every_database_connection(worker_pool: WorkerPool) -> None:
    worker_pool.start_worker()
    worker_pool.harness.create(slug="before")
    worker_pool.await_state(TenantState.ACTIVE)

    with psycopg.connect(worker_pool.settings.database_url, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert cut is not None
    assert cut[0] > 2

    worker_pool.harness.faults.hang("deployer.deploy")
    worker_pool.harness.create(slug="after")
    worker_pool.await_call("deployer.deploy", times=2)
    wait_until(lambda: listens(worker_pool))
    worker_pool.harness.cancel()
    worker_pool.await_state(TenantState.PENDING)
    assert worker_pool.harness.existing_resources() == []


def listens(worker_pool: WorkerPool) -> bool:
    with psycopg.connect(worker_pool.settings.database_url) as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN tenantry_cancel'"
        return connection.execute(query).fetchone() is not None


def test_a_run_past_its_deadline_is_cancelled_by_the_sweeper(worker_pool: WorkerPool) -> None:
    worker_pool.harness.faults.hang("deployer.deploy")
    worker_pool.start_worker()

    worker_pool.harness.create(provisioning_deadline=timedelta(hours=1))
    worker_pool.await_call("deployer.deploy")
    with worker_pool.harness.database.engine.begin() as connection:
        passed = "UPDATE runs SET deadline_at = clock_timestamp() WHERE id = %s"
        connection.exec_driver_sql(passed, (worker_pool.harness.run().id,))
    worker_pool.await_state(TenantState.PENDING)

    request = next(event for event in worker_pool.harness.events() if event.type.endswith("cancel_requested"))
    assert (request.actor_kind, request.data["step_in_flight"]) == (ActorKind.SYSTEM, "deploy_workloads")
    assert worker_pool.harness.existing_resources() == []


def test_a_run_that_cannot_be_cancelled_does_not_keep_others_from_their_deadline(worker_pool: WorkerPool) -> None:
    broken, overdue = create_many(worker_pool, 2)
    with worker_pool.harness.database.transaction() as session:
        run = session.exec(select(Run).where(Run.tenant_id == broken)).one()
        session.add(stray_resource(run))
        late = "UPDATE runs SET deadline_at = %s WHERE tenant_id = %s"
        for hours, tenant_id in ((2, broken), (1, overdue)):
            session.connection().exec_driver_sql(late, (clock(session) - timedelta(hours=hours), tenant_id))

    Sweeper(worker_pool.harness.database, Dispatcher(worker_pool.settings), worker_pool.settings).run_once()

    assert states(worker_pool, [broken, overdue]) == [TenantState.PROVISIONING, TenantState.PENDING]
    with worker_pool.harness.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM resources WHERE step = 'no_step'")
    worker_pool.harness.tenant_id = broken
    worker_pool.harness.end_waits()
    worker_pool.harness.sweep()
    assert states(worker_pool, [broken]) == [TenantState.PENDING]


def test_two_workers_perform_each_step_of_many_runs_once(worker_pool: WorkerPool) -> None:
    worker_pool.start_worker()
    worker_pool.start_worker()
    tenants = create_many(worker_pool, 8)

    worker_pool.await_completion()

    assert states(worker_pool, tenants) == [TenantState.ACTIVE] * 8
    for call in ("storage.create", "identity.create", "traffic.reserve", "deployer.deploy"):
        assert worker_pool.harness.faults.calls.count(call) == 8


def test_a_stopped_worker_leaves_no_connection_behind(worker_pool: WorkerPool) -> None:
    worker = worker_pool.start_worker()
    worker_pool.harness.create()
    worker_pool.await_completion()

    worker_pool.stop_worker(worker)

    with psycopg.connect(worker_pool.settings.database_url) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
        assert connection.execute(query, ["tenantry-worker"]).fetchone() == (0,)
