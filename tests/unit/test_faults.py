"""Faults strike the calls they were asked for, as often as they were asked to, and no others."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.faults import Fault, Faults
from adapters.simulated import SimulatedWorld
from provisioning.ports import Refused
from provisioning.saga import StepStopped
from tests.outside import Waiting, fresh_footprint, order_for, wait_until


def test_without_faults_the_world_is_as_it_was() -> None:
    simulated, footprint = SimulatedWorld(), fresh_footprint()
    world = Faults().wrap(simulated)

    world.storage.create(footprint)

    assert world.present(footprint) == simulated.present(footprint) == [footprint.role, footprint.schema]


def test_a_failure_before_the_effect_leaves_nothing() -> None:
    simulated, faults, footprint = SimulatedWorld(), Faults(), fresh_footprint()
    faults.fail("storage.create")

    with pytest.raises(Fault, match=r"^storage\.create failed before its effect"):
        faults.wrap(simulated).storage.create(footprint)

    assert simulated == SimulatedWorld()


def test_a_failure_after_the_effect_leaves_it() -> None:
    simulated, faults, footprint = SimulatedWorld(), Faults(), fresh_footprint()
    faults.fail("deployer.deploy", after=True)

    with pytest.raises(Fault):
        faults.wrap(simulated).deployer.deploy(order_for(footprint), Waiting())

    assert simulated.holdings.resources() == {("workload", footprint.workload)}


def test_a_fault_strikes_as_often_as_it_was_told_to() -> None:
    faults, footprint = Faults(), fresh_footprint()
    world = faults.wrap(SimulatedWorld())
    faults.fail("traffic.reserve", times=2)

    for _ in range(2):
        with pytest.raises(Fault):
            world.traffic.reserve(footprint)
    world.traffic.reserve(footprint)

    assert faults.calls == ["traffic.reserve"] * 3


def test_faults_of_one_call_strike_one_after_the_other() -> None:
    faults, footprint = Faults(), fresh_footprint()
    world = faults.wrap(SimulatedWorld())
    faults.fail("identity.destroy")
    faults.fail("identity.destroy", error=Refused("No."))

    with pytest.raises(Fault):
        world.identity.destroy(footprint)
    with pytest.raises(Refused, match="No"):
        world.identity.destroy(footprint)


def test_healing_forgets_what_has_not_struck() -> None:
    faults = Faults()
    faults.fail("storage.create")

    faults.heal()

    faults.wrap(SimulatedWorld()).storage.create(fresh_footprint())


def test_a_hanging_call_ends_with_its_patience() -> None:
    simulated, faults, patience = SimulatedWorld(), Faults(), Waiting()
    faults.hang("deployer.deploy")

    with ThreadPoolExecutor() as pool:
        deployment = pool.submit(faults.wrap(simulated).deployer.deploy, order_for(fresh_footprint()), patience)
        wait_until(lambda: faults.calls)
        patience.end()
        with pytest.raises(StepStopped):
            deployment.result(5)

    assert simulated == SimulatedWorld()


def test_a_hanging_call_without_patience_goes_on_when_it_is_let_go() -> None:
    simulated, faults, footprint = SimulatedWorld(), Faults(), fresh_footprint()
    faults.hang("storage.create")

    with ThreadPoolExecutor() as pool:
        creation = pool.submit(faults.wrap(simulated).storage.create, footprint)
        wait_until(lambda: faults.calls)
        assert simulated == SimulatedWorld()
        faults.let_go()
        creation.result(5)

    assert simulated.present(footprint) == [footprint.role, footprint.schema]


def test_a_delayed_call_takes_longer() -> None:
    faults = Faults()
    faults.delay("storage.create", 0.1)
    began = time.monotonic()

    faults.wrap(SimulatedWorld()).storage.create(fresh_footprint())

    assert time.monotonic() - began >= 0.1


def test_a_delayed_call_ends_with_its_patience() -> None:
    faults, patience = Faults(), Waiting()
    faults.delay("deployer.tear_down", 60)
    patience.end()

    with pytest.raises(StepStopped):
        faults.wrap(SimulatedWorld()).deployer.tear_down(fresh_footprint(), patience)


def test_a_call_that_no_port_has_cannot_be_troubled() -> None:
    with pytest.raises(AttributeError):
        Faults().fail("storage.explode")
