"""A stopped step does not wait for infrastructure that hangs, and its detached call is refused later."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from adapters import infrastructure
from adapters import storage_tombstones as tombstones
from adapters.guarded_calls import interruptible_port
from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from provisioning.ports import Infrastructure, Refused
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped, StopReason, StopSignal, current_stop_token
from runtime.database import Database
from tests.builders import ManualStopToken, fresh_names, order_for, settings_with
from tests.run_harness import RunHarness, run_harness_in
from tests.waiting import lock_waits, wait_until

Call = Callable[[Infrastructure, ResourceNames, ManualStopToken], object]

CALLS: dict[str, Call] = {
    "storage.create": lambda infrastructure, it, _: infrastructure.storage.create(it),
    "storage.migrate": lambda infrastructure, it, _: infrastructure.storage.migrate(it),
    "storage.destroy": lambda infrastructure, it, _: infrastructure.storage.destroy(it),
    "identity.create": lambda infrastructure, it, _: infrastructure.identity.create(it, "ada@example.com"),
    "identity.destroy": lambda infrastructure, it, _: infrastructure.identity.destroy(it),
    "identity.present": lambda infrastructure, it, _: infrastructure.identity.present(it),
    "traffic.reserve": lambda infrastructure, it, _: infrastructure.traffic.reserve(it),
    "traffic.release": lambda infrastructure, it, _: infrastructure.traffic.release(it),
    "traffic.present": lambda infrastructure, it, _: infrastructure.traffic.present(it),
    "deployer.deploy": lambda infrastructure, it, stop_token: infrastructure.deployer.deploy(order_for(it), stop_token),
    "deployer.health": lambda infrastructure, it, stop_token: infrastructure.deployer.health(it, stop_token),
    "deployer.tear_down": lambda infrastructure, it, stop_token: infrastructure.deployer.tear_down(it, stop_token),
    "deployer.present": lambda infrastructure, it, _: infrastructure.deployer.present(it),
}


@pytest.fixture
def real(database_url: str) -> Iterator[Infrastructure]:
    settings = settings_with(database_url, lock_timeout=30, statement_timeout=30)
    database = Database(settings)
    yield infrastructure(settings, database)
    wait_until(lambda: not detached_calls())
    database.close()


def detached_calls() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "interruptible-call"]


@contextmanager
def everything_locked(database_url: str, names: ResourceNames) -> Iterator[None]:
    """Make every call for this run hang."""
    with psycopg.connect(database_url) as holder:
        tombstones.prepare(holder)
        holder.commit()
        tombstones.lock(holder, names.schema)
        holder.execute("LOCK TABLE signing_keys, tenant_accounts, host_names, workloads IN ACCESS EXCLUSIVE MODE")
        yield


def performed(call: Callable[[], object], stop_token: ManualStopToken) -> object:
    """Make the call as a step does."""
    performing = current_stop_token.set(stop_token)
    try:
        return call()
    finally:
        current_stop_token.reset(performing)


def seconds_until_stopped(calling: Future[object], stop_token: ManualStopToken) -> float:
    stopped_at = time.monotonic()
    stop_token.stop()
    with pytest.raises(StepStopped):
        calling.result(10)
    return time.monotonic() - stopped_at


@pytest.mark.parametrize("name", CALLS)
def test_a_stopped_step_does_not_wait_for_a_hanging_call(real: Infrastructure, database_url: str, name: str) -> None:
    names, stop_token = fresh_names(), ManualStopToken()

    with ThreadPoolExecutor() as pool, everything_locked(database_url, names):
        calling = pool.submit(performed, lambda: CALLS[name](real, names, stop_token), stop_token)
        wait_until(lambda: lock_waits(database_url))
        waited = seconds_until_stopped(calling, stop_token)

    assert waited < 1


@pytest.fixture
def harness(database_url: str) -> Iterator[RunHarness]:
    with run_harness_in(settings_with(database_url, lock_timeout=30, statement_timeout=30)) as built:
        built.infrastructure = built.step_runner.infrastructure = infrastructure(built.settings, built.database)
        yield built
        wait_until(lambda: not detached_calls())


@pytest.mark.parametrize(
    "step",
    [
        "allocate_storage",
        "allocate_identity",
        "allocate_traffic",
        "apply_schema",
        "deploy_workloads",
        "await_readiness",
    ],
)
def test_no_built_in_step_waits_for_a_hanging_call(harness: RunHarness, database_url: str, step: str) -> None:
    stop_token = StopSignal()
    harness.create()
    harness.make_moves(until=step)
    claim = harness.claim()

    with ThreadPoolExecutor() as pool, everything_locked(database_url, claim.names):
        performing = pool.submit(harness.perform, claim, stop_token)
        wait_until(lambda: lock_waits(database_url))
        stopped_at = time.monotonic()
        stop_token.set(StopReason.CANCELLED)
        with pytest.raises(StepStopped):
            performing.result(10)

    assert time.monotonic() - stopped_at < 1


class Late(PostgresStorage):
    """Storage with creations that take effect when they are released."""

    def __init__(self, url: str, seal: Seal) -> None:
        super().__init__(url, seal)
        self.called, self.released = threading.Event(), threading.Event()
        self.outcome: Future[None] = Future()

    def create(self, names: ResourceNames) -> None:
        self.called.set()
        self.released.wait(20)
        try:
            self.outcome.set_result(super().create(names))
        except Refused as refusal:
            self.outcome.set_exception(refusal)


def test_a_detached_creation_is_refused_once_its_step_was_undone(database_url: str) -> None:
    storage = Late(database_url, Seal(settings_with(database_url).secret_key))
    names, stop_token = fresh_names(), ManualStopToken()
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(performed, lambda: interruptible_port(storage).create(names), stop_token)
        assert storage.called.wait(10)
        seconds_until_stopped(calling, stop_token)

    storage.destroy(names)
    storage.released.set()

    with pytest.raises(Refused, match="was destroyed earlier"):
        storage.outcome.result(10)
    assert storage.present(names) == []


def test_a_call_outside_a_step_runs_on_the_calling_thread() -> None:
    class Port:
        def thread_id(self) -> int:
            return threading.get_ident()

    assert interruptible_port(Port()).thread_id() == threading.get_ident()


def test_a_step_gets_the_result_and_the_error_of_its_call(real: Infrastructure) -> None:
    names, stop_token = fresh_names(), ManualStopToken()

    performed(lambda: real.traffic.reserve(names), stop_token)
    found = performed(lambda: real.traffic.present(names), stop_token)
    performed(lambda: real.traffic.release(names), stop_token)

    assert found == [f"{names.address}.localhost"]
    with pytest.raises(Refused):
        performed(lambda: real.traffic.reserve(names), stop_token)
