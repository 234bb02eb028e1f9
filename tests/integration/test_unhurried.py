"""No step waits for an outside that hangs once it was told to stop, and what it left behind is refused later."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from adapters import storage_tombstones as tombstones
from adapters import world
from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from adapters.unhurried import unhurried
from provisioning.footprint import Footprint
from provisioning.ports import Refused, World
from provisioning.saga import StepStopped, StopReason, Trip, current_patience
from runtime.database import Database
from tests.outside import Waiting, blocked, fresh_footprint, order_for, settings_with, wait_until
from tests.stage import Stage, stage_in

Call = Callable[[World, Footprint, Waiting], object]

CALLS: dict[str, Call] = {
    "storage.create": lambda world, it, _: world.storage.create(it),
    "storage.migrate": lambda world, it, _: world.storage.migrate(it),
    "storage.destroy": lambda world, it, _: world.storage.destroy(it),
    "identity.create": lambda world, it, _: world.identity.create(it, "ada@example.com"),
    "identity.destroy": lambda world, it, _: world.identity.destroy(it),
    "identity.present": lambda world, it, _: world.identity.present(it),
    "traffic.reserve": lambda world, it, _: world.traffic.reserve(it),
    "traffic.release": lambda world, it, _: world.traffic.release(it),
    "traffic.present": lambda world, it, _: world.traffic.present(it),
    "deployer.deploy": lambda world, it, patience: world.deployer.deploy(order_for(it), patience),
    "deployer.health": lambda world, it, patience: world.deployer.health(it, patience),
    "deployer.tear_down": lambda world, it, patience: world.deployer.tear_down(it, patience),
    "deployer.present": lambda world, it, _: world.deployer.present(it),
}


@pytest.fixture
def outside(database_url: str) -> Iterator[World]:
    settings = settings_with(database_url, lock_timeout=30, statement_timeout=30)
    database = Database(settings)
    yield world(settings, database)
    wait_until(lambda: not calls_left_under_way())
    database.close()


def calls_left_under_way() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "interruptible-call"]


@contextmanager
def everything_locked(database_url: str, footprint: Footprint) -> Iterator[None]:
    """Let every call about this run hang."""
    with psycopg.connect(database_url) as holder:
        tombstones.prepare(holder)
        holder.commit()
        tombstones.lock(holder, footprint.schema)
        holder.execute("LOCK TABLE signing_keys, tenant_accounts, host_names, workloads IN ACCESS EXCLUSIVE MODE")
        yield


def performed(call: Callable[[], object], patience: Waiting) -> object:
    """Call it as a step does."""
    performing = current_patience.set(patience)
    try:
        return call()
    finally:
        current_patience.reset(performing)


def seconds_until_stopped(calling: Future[object], patience: Waiting) -> float:
    told = time.monotonic()
    patience.end()
    with pytest.raises(StepStopped):
        calling.result(10)
    return time.monotonic() - told


@pytest.mark.parametrize("name", CALLS)
def test_a_step_that_is_told_to_stop_leaves_a_call_that_hangs(outside: World, database_url: str, name: str) -> None:
    footprint, patience = fresh_footprint(), Waiting()

    with ThreadPoolExecutor() as pool, everything_locked(database_url, footprint):
        calling = pool.submit(performed, lambda: CALLS[name](outside, footprint, patience), patience)
        wait_until(lambda: blocked(database_url))
        waited = seconds_until_stopped(calling, patience)

    assert waited < 1


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    with stage_in(settings_with(database_url, lock_timeout=30, statement_timeout=30)) as built:
        built.world = built.mover.world = world(built.settings, built.database)
        yield built
        wait_until(lambda: not calls_left_under_way())


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
def test_no_built_in_step_waits_for_an_outside_that_hangs(stage: Stage, database_url: str, step: str) -> None:
    patience = Trip()
    stage.create()
    stage.play(until=step)
    claim = stage.claim()

    with ThreadPoolExecutor() as pool, everything_locked(database_url, claim.footprint):
        performing = pool.submit(stage.perform, claim, patience)
        wait_until(lambda: blocked(database_url))
        told = time.monotonic()
        patience.pull(StopReason.CANCELLED)
        with pytest.raises(StepStopped):
            performing.result(10)

    assert time.monotonic() - told < 1


class Late(PostgresStorage):
    """Storage whose requests to create arrive when they are let go."""

    def __init__(self, url: str, seal: Seal) -> None:
        super().__init__(url, seal)
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.answer: Future[None] = Future()

    def create(self, footprint: Footprint) -> None:
        self.asked.set()
        self.let_go.wait(20)
        try:
            self.answer.set_result(super().create(footprint))
        except Refused as refusal:
            self.answer.set_exception(refusal)


def test_what_a_step_left_under_way_is_refused_once_it_was_undone(database_url: str) -> None:
    storage = Late(database_url, Seal(settings_with(database_url).secret_key))
    footprint, patience = fresh_footprint(), Waiting()
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(performed, lambda: unhurried(storage).create(footprint), patience)
        assert storage.asked.wait(10)
        seconds_until_stopped(calling, patience)

    storage.destroy(footprint)
    storage.let_go.set()

    with pytest.raises(Refused, match="was destroyed earlier"):
        storage.answer.result(10)
    assert storage.present(footprint) == []


def test_outside_of_a_step_a_call_is_made_on_the_thread_that_asks() -> None:
    class Port:
        def who(self) -> int:
            return threading.get_ident()

    assert unhurried(Port()).who() == threading.get_ident()


def test_what_a_call_returns_and_raises_comes_back_to_the_step(outside: World) -> None:
    footprint, patience = fresh_footprint(), Waiting()

    performed(lambda: outside.traffic.reserve(footprint), patience)
    found = performed(lambda: outside.traffic.present(footprint), patience)
    performed(lambda: outside.traffic.release(footprint), patience)

    assert found == [f"{footprint.address}.localhost"]
    with pytest.raises(Refused):
        performed(lambda: outside.traffic.reserve(footprint), patience)
