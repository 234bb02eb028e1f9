"""A fault is injected into the planned number of calls of one method, and into no others."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest

from adapters.fault_injection import Fault, Faults
from adapters.simulated import SimulatedInfrastructure
from provisioning.ports import PORTS, Infrastructure, Refused
from provisioning.step_context import StepStopped
from tests.builders import ManualStopToken, fresh_names, order_for
from tests.waiting import wait_until


def test_infrastructure_without_faults_is_unchanged() -> None:
    simulated, names = SimulatedInfrastructure(), fresh_names()
    infrastructure = Faults().wrap(simulated)

    infrastructure.storage.create(names)

    assert infrastructure.present(names) == simulated.present(names) == [names.role, names.schema]


def test_a_failure_before_the_effect_leaves_no_resource() -> None:
    simulated, faults, names = SimulatedInfrastructure(), Faults(), fresh_names()
    faults.fail("storage.create")

    with pytest.raises(Fault, match=r"^storage\.create failed before its effect"):
        faults.wrap(simulated).storage.create(names)

    assert simulated == SimulatedInfrastructure()


def test_a_failure_after_the_effect_leaves_the_resource() -> None:
    simulated, faults, names = SimulatedInfrastructure(), Faults(), fresh_names()
    faults.fail("deployer.deploy", after=True)

    with pytest.raises(Fault):
        faults.wrap(simulated).deployer.deploy(order_for(names), ManualStopToken())

    assert simulated.holdings.resources() == {("workload", names.workload)}


def test_a_fault_is_injected_as_often_as_planned() -> None:
    faults, names = Faults(), fresh_names()
    infrastructure = faults.wrap(SimulatedInfrastructure())
    faults.fail("traffic.reserve", times=2)

    for _ in range(2):
        with pytest.raises(Fault):
            infrastructure.traffic.reserve(names)
    infrastructure.traffic.reserve(names)

    assert faults.calls == ["traffic.reserve"] * 3


def test_faults_of_one_call_are_injected_one_after_the_other() -> None:
    faults, names = Faults(), fresh_names()
    infrastructure = faults.wrap(SimulatedInfrastructure())
    faults.fail("identity.destroy")
    faults.fail("identity.destroy", error=Refused("No."))

    with pytest.raises(Fault):
        infrastructure.identity.destroy(names)
    with pytest.raises(Refused, match="No"):
        infrastructure.identity.destroy(names)


def test_clearing_removes_planned_faults() -> None:
    faults = Faults()
    faults.fail("storage.create")

    faults.clear()

    faults.wrap(SimulatedInfrastructure()).storage.create(fresh_names())


def test_a_hanging_call_ends_when_its_step_is_stopped() -> None:
    simulated, faults, stop_token = SimulatedInfrastructure(), Faults(), ManualStopToken()
    faults.hang("deployer.deploy")

    with ThreadPoolExecutor() as pool:
        deployment = pool.submit(faults.wrap(simulated).deployer.deploy, order_for(fresh_names()), stop_token)
        wait_until(lambda: faults.calls)
        stop_token.stop()
        with pytest.raises(StepStopped):
            deployment.result(5)

    assert simulated == SimulatedInfrastructure()


def test_a_hanging_call_without_a_stop_token_continues_when_it_is_released() -> None:
    simulated, faults, names = SimulatedInfrastructure(), Faults(), fresh_names()
    faults.hang("storage.create")

    with ThreadPoolExecutor() as pool:
        creation = pool.submit(faults.wrap(simulated).storage.create, names)
        wait_until(lambda: faults.calls)
        assert simulated == SimulatedInfrastructure()
        faults.release_all()
        creation.result(5)

    assert simulated.present(names) == [names.role, names.schema]


def test_a_delayed_call_takes_longer() -> None:
    faults = Faults()
    faults.delay("storage.create", 0.1)
    began = time.monotonic()

    faults.wrap(SimulatedInfrastructure()).storage.create(fresh_names())

    assert time.monotonic() - began >= 0.1


def test_a_delayed_call_ends_when_its_step_is_stopped() -> None:
    faults, stop_token = Faults(), ManualStopToken()
    faults.delay("deployer.tear_down", 60)
    stop_token.stop()

    with pytest.raises(StepStopped):
        faults.wrap(SimulatedInfrastructure()).deployer.tear_down(fresh_names(), stop_token)


def test_a_fault_of_an_unknown_call_is_refused() -> None:
    with pytest.raises(AttributeError):
        Faults().fail("storage.explode")


@pytest.mark.parametrize("port", PORTS)
def test_a_fault_can_be_injected_into_every_call_of_every_port(port: str) -> None:
    faults = Faults()
    infrastructure = faults.wrap(SimulatedInfrastructure())
    calls = [method for method in vars(PORTS[port]) if not method.startswith("_")]

    for method in calls:
        faults.fail(f"{port}.{method}")
        with pytest.raises(Fault):
            getattr(getattr(infrastructure, port), method)()

    assert calls
    assert faults.calls == [f"{port}.{method}" for method in calls]


def test_a_port_that_is_added_later_is_wrapped_too() -> None:
    """A field of Infrastructure is enough: no wrapper lists the ports."""
    made = []

    SimulatedInfrastructure().with_each_port(lambda name, _: made.append(name))

    assert made == [field.name for field in fields(Infrastructure)]
