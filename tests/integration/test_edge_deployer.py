"""The built-in runtime calls a workload ready only when every part of it is really there."""

from collections.abc import Iterator

import pytest

from adapters import infrastructure
from models import Workload
from provisioning.ports import Health, Infrastructure
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped
from runtime.database import Database
from tests.builders import ManualStopToken, fresh_names, order_for, settings_with


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url))
    yield database
    database.close()


@pytest.fixture
def outside(database: Database, database_url: str) -> Infrastructure:
    return infrastructure(settings_with(database_url), database)


def stand_up(outside: Infrastructure, names: ResourceNames) -> None:
    outside.storage.create(names)
    outside.identity.create(names, "ada@example.com")
    outside.traffic.reserve(names)
    outside.deployer.deploy(order_for(names), ManualStopToken())


def health(outside: Infrastructure, names: ResourceNames) -> Health:
    return outside.deployer.health(names, ManualStopToken())


def test_a_workload_with_all_its_parts_is_ready(outside: Infrastructure) -> None:
    names = fresh_names()

    stand_up(outside, names)

    assert health(outside, names) == Health(ready=True, percent=100, summary="Every part of the workload is in place.")


def test_the_first_missing_part_is_named(outside: Infrastructure) -> None:
    names = fresh_names()
    stand_up(outside, names)

    seen = []
    for lose in (outside.traffic.release, outside.identity.destroy, outside.storage.destroy):
        lose(names)
        seen.append(health(outside, names))
    outside.deployer.tear_down(names, ManualStopToken())
    seen.append(health(outside, names))

    assert seen == [
        Health(ready=False, percent=75, summary="The host name is not reserved."),
        Health(ready=False, percent=50, summary="The signing key cannot be used."),
        Health(ready=False, percent=25, summary="The storage is not there."),
        Health(ready=False, percent=0, summary="The workload is not registered."),
    ]


def test_a_key_that_does_not_open_any_more_is_noticed(
    outside: Infrastructure, database: Database, database_url: str
) -> None:
    names = fresh_names()
    stand_up(outside, names)
    rotated = infrastructure(settings_with(database_url, secret_key="another secret, just as long as 32"), database)

    assert health(rotated, names).summary == "The signing key cannot be used."


def test_the_register_says_what_the_edge_needs(outside: Infrastructure, database: Database) -> None:
    names = fresh_names()

    stand_up(outside, names)

    with database.transaction() as session:
        row = session.get_one(Workload, names.workload)
    assert (row.host_name, row.signing_key, row.storage_schema, row.torn_down_at) == (
        f"{names.address}.localhost",
        names.signing_key,
        names.schema,
        None,
    )


def test_nothing_is_deployed_once_the_step_was_told_to_stop(outside: Infrastructure) -> None:
    names, stop_token = fresh_names(), ManualStopToken()
    stop_token.stop()

    with pytest.raises(StepStopped):
        outside.deployer.deploy(order_for(names), stop_token)

    assert outside.deployer.present(names) == []
