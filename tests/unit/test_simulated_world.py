"""The world in memory can be compared, and keeps what was sent."""

from itertools import pairwise

import pytest

from adapters.simulated import SimulatedWorld
from provisioning.footprint import Footprint
from provisioning.ports import Health, Mail, Refused
from tests.outside import Waiting, fresh_footprint, order_for


def test_worlds_are_equal_when_they_hold_the_same() -> None:
    one, other, footprint = SimulatedWorld(), SimulatedWorld(), fresh_footprint()

    one.storage.create(footprint)
    assert one != other
    other.storage.create(footprint)

    assert one == other


def test_a_world_that_gave_everything_back_equals_a_fresh_one() -> None:
    world, footprint = SimulatedWorld(), fresh_footprint()
    world.traffic.reserve(footprint)

    world.traffic.release(footprint)

    assert world == SimulatedWorld()


def test_two_tenants_cannot_hold_one_host_name() -> None:
    world, holder = SimulatedWorld(), fresh_footprint()
    rival = Footprint(fresh_footprint().tenant_id, holder.address, 1)
    world.traffic.reserve(holder)

    with pytest.raises(Refused, match=f"is held by {holder.stem}"):
        world.traffic.reserve(rival)

    world.traffic.release(holder)
    world.traffic.reserve(rival)


def test_migrating_needs_a_schema_that_was_never_destroyed() -> None:
    world, footprint = SimulatedWorld(), fresh_footprint()

    with pytest.raises(LookupError):
        world.storage.migrate(footprint)
    world.storage.create(footprint)
    world.storage.migrate(footprint)
    world.storage.destroy(footprint)
    with pytest.raises(Refused):
        world.storage.migrate(footprint)


def test_a_workload_becomes_ready_look_by_look() -> None:
    world, footprint = SimulatedWorld(looks_until_ready=3), fresh_footprint()
    before = world.deployer.health(footprint, Waiting())
    world.deployer.deploy(order_for(footprint), Waiting())

    seen: list[Health] = [world.deployer.health(footprint, Waiting()) for _ in range(4)]

    assert not before.ready
    assert [health.ready for health in seen] == [False, False, True, True]
    assert all(earlier.percent <= later.percent for earlier, later in pairwise(seen))


def test_mails_are_kept_in_order() -> None:
    world = SimulatedWorld()
    mails = [Mail("ada@example.com", subject, "Hello") for subject in ("Welcome", "First steps")]

    for mail in mails:
        world.mailer.send(mail)

    assert world.outbox.mails == mails
