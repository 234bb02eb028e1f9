"""The three rules of provisioning.ports, held by every adapter of every world."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from adapters import world
from adapters.faults import Faults
from adapters.http_deployer import HttpDeployer
from adapters.simulated import SimulatedWorld
from provisioning.footprint import Footprint
from provisioning.ports import Refused, World
from runtime.database import Database
from tests.deployers import local_deployer
from tests.outside import Waiting, fresh_footprint, order_for, settings_with

Act = Callable[[World, Footprint], object]


@dataclass(frozen=True)
class Port:
    """How one port creates, destroys and finds what it is for."""

    create: Act
    destroy: Act
    present: Callable[[World, Footprint], list[str]]
    names: Callable[[Footprint], set[str]]


PORTS = {
    "storage": Port(
        lambda world, it: world.storage.create(it),
        lambda world, it: world.storage.destroy(it),
        lambda world, it: world.storage.present(it),
        lambda it: {it.schema, it.role},
    ),
    "identity": Port(
        lambda world, it: world.identity.create(it, "ada@example.com"),
        lambda world, it: world.identity.destroy(it),
        lambda world, it: world.identity.present(it),
        lambda it: {it.signing_key, it.account},
    ),
    "traffic": Port(
        lambda world, it: world.traffic.reserve(it),
        lambda world, it: world.traffic.release(it),
        lambda world, it: world.traffic.present(it),
        lambda it: {f"{it.address}.localhost"},
    ),
    "deployer": Port(
        lambda world, it: world.deployer.deploy(order_for(it), Waiting()),
        lambda world, it: world.deployer.tear_down(it, Waiting()),
        lambda world, it: world.deployer.present(it),
        lambda it: {it.workload},
    ),
}

EVERYWHERE = [(kind, name) for kind in ("real", "simulated") for name in PORTS] + [("http", "deployer")]


@dataclass(frozen=True)
class Case:
    """One port of one world, and the same world out of reach."""

    port: Port
    world: World
    unreachable: World

    def create(self, footprint: Footprint) -> None:
        self.port.create(self.world, footprint)

    def destroy(self, footprint: Footprint) -> None:
        self.port.destroy(self.world, footprint)

    def present(self, footprint: Footprint) -> set[str]:
        return set(self.port.present(self.world, footprint))


@pytest.fixture(params=EVERYWHERE, ids="-".join)
def case(request: pytest.FixtureRequest, database_url: str) -> Iterator[Case]:
    kind, name = request.param
    with ExitStack() as stack:
        yield Case(PORTS[name], *_worlds(kind, name, database_url, stack))


def _worlds(kind: str, name: str, database_url: str, stack: ExitStack) -> tuple[World, World]:
    if kind == "simulated":
        simulated = SimulatedWorld()
        return simulated, _cut_off(simulated, name)
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    if kind == "real":
        return _world(database_url, stack), _world(nowhere, stack)
    address = stack.enter_context(local_deployer()).address
    return (
        _world(database_url, stack, deployer="http", deployer_url=address),
        _world(database_url, stack, deployer="http", deployer_url="http://127.0.0.1:1"),
    )


def _world(database_url: str, stack: ExitStack, **more: object) -> World:
    settings = settings_with(database_url, **more)
    database = Database(settings)
    stack.callback(database.close)
    built = world(settings, database)
    if isinstance(built.deployer, HttpDeployer):
        stack.callback(built.deployer.close)
    return built


def _cut_off(simulated: World, name: str) -> World:
    faults = Faults()
    for method in {"destroy", "release", "tear_down", "present"} & set(dir(getattr(simulated, name))):
        faults.fail(f"{name}.{method}", times=100)
    return faults.wrap(simulated)


def test_nothing_is_present_before_it_is_created(case: Case) -> None:
    assert case.present(fresh_footprint()) == set()


def test_creating_twice_is_creating_once(case: Case) -> None:
    footprint = fresh_footprint()

    case.create(footprint)
    case.create(footprint)

    assert case.present(footprint) == case.port.names(footprint)


def test_destroying_leaves_nothing(case: Case) -> None:
    footprint = fresh_footprint()
    case.create(footprint)

    case.destroy(footprint)

    assert case.present(footprint) == set()


def test_destroying_twice_is_destroying_once(case: Case) -> None:
    footprint = fresh_footprint()
    case.create(footprint)

    case.destroy(footprint)
    case.destroy(footprint)

    assert case.present(footprint) == set()


def test_destroying_what_never_was_succeeds(case: Case) -> None:
    footprint = fresh_footprint()

    case.destroy(footprint)

    assert case.present(footprint) == set()


def test_what_was_destroyed_is_not_created_again(case: Case) -> None:
    footprint = fresh_footprint()
    case.create(footprint)
    case.destroy(footprint)

    with pytest.raises(Refused):
        case.create(footprint)

    assert case.present(footprint) == set()


def test_what_was_destroyed_before_it_was_created_is_not_created_later(case: Case) -> None:
    footprint = fresh_footprint()
    case.destroy(footprint)

    with pytest.raises(Refused):
        case.create(footprint)

    assert case.present(footprint) == set()


def test_the_next_run_of_the_same_tenant_starts_afresh(case: Case) -> None:
    first = fresh_footprint()
    second = Footprint(first.tenant_id, first.address, 2)
    case.create(first)
    case.destroy(first)

    case.create(second)

    assert case.present(second) == case.port.names(second)


def test_destroying_one_tenant_leaves_the_others(case: Case) -> None:
    one, other = fresh_footprint(), fresh_footprint()
    case.create(one)
    case.create(other)

    case.destroy(one)

    assert case.present(other) == case.port.names(other)


def test_creating_and_destroying_at_once_ends_with_nothing(case: Case) -> None:
    for _ in range(10):
        footprint, start = fresh_footprint(), threading.Barrier(3)

        def race(act: Callable[[Footprint], None], it: Footprint = footprint, at: threading.Barrier = start) -> None:
            at.wait(10)
            with suppress(Refused):
                act(it)

        with ThreadPoolExecutor(3) as pool:
            for finished in [pool.submit(race, act) for act in (case.create, case.destroy, case.create)]:
                finished.result(20)

        assert case.present(footprint) == set()


def test_creating_many_at_once_creates_each_once(case: Case) -> None:
    footprint = fresh_footprint()

    with ThreadPoolExecutor(4) as pool:
        for finished in [pool.submit(case.create, footprint) for _ in range(4)]:
            finished.result(20)

    assert case.present(footprint) == case.port.names(footprint)


def test_what_cannot_be_reached_is_not_gone(case: Case) -> None:
    footprint = fresh_footprint()
    case.create(footprint)

    with pytest.raises(Exception) as refusal:  # noqa: PT011  # each adapter has its own, none may be final
        case.port.destroy(case.unreachable, footprint)

    assert not isinstance(refusal.value, Refused)
    assert case.present(footprint) == case.port.names(footprint)


def test_what_cannot_be_reached_is_not_said_to_be_absent(case: Case) -> None:
    with pytest.raises(Exception) as refusal:  # noqa: PT011  # each adapter has its own, none may be final
        case.port.present(case.unreachable, fresh_footprint())

    assert not isinstance(refusal.value, Refused)
