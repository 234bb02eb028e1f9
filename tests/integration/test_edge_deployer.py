"""The built-in runtime calls a workload ready only when every part of it is really there."""

from collections.abc import Iterator

import pytest

from adapters import world
from models import Workload
from provisioning.footprint import Footprint
from provisioning.ports import Health, World
from provisioning.saga import StepStopped
from runtime.database import Database
from tests.outside import Waiting, fresh_footprint, order_for, settings_with


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url))
    yield database
    database.close()


@pytest.fixture
def outside(database: Database, database_url: str) -> World:
    return world(settings_with(database_url), database)


def stand_up(outside: World, footprint: Footprint) -> None:
    outside.storage.create(footprint)
    outside.identity.create(footprint, "ada@example.com")
    outside.traffic.reserve(footprint)
    outside.deployer.deploy(order_for(footprint), Waiting())


def health(outside: World, footprint: Footprint) -> Health:
    return outside.deployer.health(footprint, Waiting())


def test_a_workload_with_all_its_parts_is_ready(outside: World) -> None:
    footprint = fresh_footprint()

    stand_up(outside, footprint)

    assert health(outside, footprint) == Health(
        ready=True, percent=100, summary="Every part of the workload is in place."
    )


def test_the_first_missing_part_is_named(outside: World) -> None:
    footprint = fresh_footprint()
    stand_up(outside, footprint)

    seen = []
    for lose in (outside.traffic.release, outside.identity.destroy, outside.storage.destroy):
        lose(footprint)
        seen.append(health(outside, footprint))
    outside.deployer.tear_down(footprint, Waiting())
    seen.append(health(outside, footprint))

    assert seen == [
        Health(ready=False, percent=75, summary="The host name is not reserved."),
        Health(ready=False, percent=50, summary="The signing key cannot be used."),
        Health(ready=False, percent=25, summary="The storage is not there."),
        Health(ready=False, percent=0, summary="The workload is not registered."),
    ]


def test_a_key_that_does_not_open_any_more_is_noticed(outside: World, database: Database, database_url: str) -> None:
    footprint = fresh_footprint()
    stand_up(outside, footprint)
    rotated = world(settings_with(database_url, secret_key="another secret, just as long as 32"), database)

    assert health(rotated, footprint).summary == "The signing key cannot be used."


def test_the_register_says_what_the_edge_needs(outside: World, database: Database) -> None:
    footprint = fresh_footprint()

    stand_up(outside, footprint)

    with database.transaction() as session:
        row = session.get_one(Workload, footprint.workload)
    assert (row.host_name, row.signing_key, row.storage_schema, row.torn_down_at) == (
        f"{footprint.address}.localhost",
        footprint.signing_key,
        footprint.schema,
        None,
    )


def test_nothing_is_deployed_once_the_step_was_told_to_stop(outside: World) -> None:
    footprint, patience = fresh_footprint(), Waiting()
    patience.end()

    with pytest.raises(StepStopped):
        outside.deployer.deploy(order_for(footprint), patience)

    assert outside.deployer.present(footprint) == []
