"""Simulated infrastructure can be compared, and stores the mails that were sent."""

from dataclasses import fields
from itertools import pairwise

import pytest

from adapters.simulated import SimulatedInfrastructure
from provisioning.ports import PROBED_PORTS, Health, Infrastructure, Mail, Refused
from provisioning.resource_names import ResourceNames
from tests.builders import ManualStopToken, fresh_names, order_for


def test_infrastructures_with_the_same_resources_are_equal() -> None:
    one, other, names = SimulatedInfrastructure(), SimulatedInfrastructure(), fresh_names()

    one.storage.create(names)
    assert one != other
    other.storage.create(names)

    assert one == other


def test_infrastructure_that_released_everything_equals_a_new_one() -> None:
    infrastructure, names = SimulatedInfrastructure(), fresh_names()
    infrastructure.traffic.reserve(names)

    infrastructure.traffic.release(names)

    assert infrastructure == SimulatedInfrastructure()


def test_two_tenants_cannot_hold_one_host_name() -> None:
    infrastructure, holder = SimulatedInfrastructure(), fresh_names()
    rival = ResourceNames(fresh_names().tenant_id, holder.address, 1)
    infrastructure.traffic.reserve(holder)

    with pytest.raises(Refused, match=f"is held by {holder.stem}"):
        infrastructure.traffic.reserve(rival)

    infrastructure.traffic.release(holder)
    infrastructure.traffic.reserve(rival)


def test_migrating_needs_a_schema_that_was_never_destroyed() -> None:
    infrastructure, names = SimulatedInfrastructure(), fresh_names()

    with pytest.raises(LookupError):
        infrastructure.storage.migrate(names)
    infrastructure.storage.create(names)
    infrastructure.storage.migrate(names)
    infrastructure.storage.destroy(names)
    with pytest.raises(Refused):
        infrastructure.storage.migrate(names)


def test_a_workload_becomes_ready_after_several_probes() -> None:
    infrastructure, names = SimulatedInfrastructure(probes_until_ready=3), fresh_names()
    before = infrastructure.deployer.health(names, ManualStopToken())
    infrastructure.deployer.deploy(order_for(names), ManualStopToken())

    seen: list[Health] = [infrastructure.deployer.health(names, ManualStopToken()) for _ in range(4)]

    assert not before.ready
    assert [health.ready for health in seen] == [False, False, True, True]
    assert all(earlier.percent <= later.percent for earlier, later in pairwise(seen))


def test_mails_are_stored_in_order() -> None:
    infrastructure = SimulatedInfrastructure()
    mails = [Mail("ada@example.com", subject, "Hello") for subject in ("Welcome", "First steps")]

    for mail in mails:
        infrastructure.mailer.send(mail)

    assert infrastructure.outbox.mails == mails


def test_every_port_that_holds_resources_is_probed() -> None:
    infrastructure = SimulatedInfrastructure()

    assert set(PROBED_PORTS) == {field.name for field in fields(Infrastructure)} - {"mailer"}
    assert all(callable(getattr(infrastructure, port).present) for port in PROBED_PORTS)
