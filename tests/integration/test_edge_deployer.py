"""The edge deployer reports a workload as ready only when every part of it exists."""

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
def built(database: Database, database_url: str) -> Infrastructure:
    return infrastructure(settings_with(database_url), database)


def create_all(built: Infrastructure, names: ResourceNames) -> None:
    built.storage.create(names)
    built.identity.create(names, "ada@example.com")
    built.traffic.reserve(names)
    built.deployer.deploy(order_for(names), ManualStopToken())


def health(built: Infrastructure, names: ResourceNames) -> Health:
    return built.deployer.health(names, ManualStopToken())


def test_a_workload_with_all_its_parts_is_ready(built: Infrastructure) -> None:
    names = fresh_names()

    create_all(built, names)

    assert health(built, names) == Health(ready=True, percent=100, summary="Every part of the workload is in place.")


def test_the_first_missing_part_is_named(built: Infrastructure) -> None:
    names = fresh_names()
    create_all(built, names)

    seen = []
    for remove in (built.traffic.release, built.identity.destroy, built.storage.destroy):
        remove(names)
        seen.append(health(built, names))
    built.deployer.tear_down(names, ManualStopToken())
    seen.append(health(built, names))

    assert seen == [
        Health(ready=False, percent=75, summary="The host name is not reserved."),
        Health(ready=False, percent=50, summary="The signing key cannot be used."),
        Health(ready=False, percent=25, summary="The storage is missing."),
        Health(ready=False, percent=0, summary="The workload is not registered."),
    ]


def test_a_key_that_cannot_be_unsealed_makes_the_workload_unhealthy(
    built: Infrastructure, database: Database, database_url: str
) -> None:
    names = fresh_names()
    create_all(built, names)
    rotated = infrastructure(settings_with(database_url, secret_key="e7305da8f41b9c62d80e35f7a1c4962b"), database)

    assert health(rotated, names).summary == "The signing key cannot be used."


def test_the_workload_row_has_what_the_edge_needs(built: Infrastructure, database: Database) -> None:
    names = fresh_names()

    create_all(built, names)

    with database.transaction() as session:
        row = session.get_one(Workload, names.workload)
    assert (row.host_name, row.signing_key, row.storage_schema, row.torn_down_at) == (
        f"{names.address}.localhost",
        names.signing_key,
        names.schema,
        None,
    )


def test_nothing_is_deployed_after_the_step_was_cancelled(built: Infrastructure) -> None:
    names, stop_token = fresh_names(), ManualStopToken()
    stop_token.stop()

    with pytest.raises(StepStopped):
        built.deployer.deploy(order_for(names), stop_token)

    assert built.deployer.present(names) == []
