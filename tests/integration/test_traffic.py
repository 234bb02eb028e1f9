"""A host name has one holder at a time, and whoever comes second is told who that is."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.traffic import HostNames
from models.columns import new_id
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from runtime.database import Database
from tests.builders import fresh_names, settings_with


@pytest.fixture
def traffic(database_url: str) -> Iterator[HostNames]:
    database = Database(settings_with(database_url))
    yield HostNames(database, "localhost")
    database.close()


def rival_of(names: ResourceNames) -> ResourceNames:
    return ResourceNames(new_id(), names.address, 1)


def test_the_second_to_come_is_told_who_holds_the_name(traffic: HostNames) -> None:
    holder = fresh_names()
    traffic.reserve(holder)

    with pytest.raises(Refused) as refusal:
        traffic.reserve(rival_of(holder))

    assert str(refusal.value) == (
        f"The host name {holder.address}.localhost is held by {holder.stem}; release that one first."
    )
    assert traffic.present(holder) == [f"{holder.address}.localhost"]


def test_releasing_another_ones_name_takes_nothing_from_its_holder(traffic: HostNames) -> None:
    holder = fresh_names()
    traffic.reserve(holder)

    traffic.release(rival_of(holder))

    assert traffic.present(holder) == [f"{holder.address}.localhost"]


def test_a_released_name_can_be_taken_by_another(traffic: HostNames) -> None:
    holder = fresh_names()
    rival = rival_of(holder)
    traffic.reserve(holder)
    traffic.release(holder)

    traffic.reserve(rival)

    assert (traffic.present(holder), traffic.present(rival)) == ([], [f"{holder.address}.localhost"])


def test_of_many_at_once_one_gets_the_name(traffic: HostNames) -> None:
    first = fresh_names()
    rivals = [first, *(rival_of(first) for _ in range(5))]

    with ThreadPoolExecutor(6) as pool:
        refusals = [attempt.exception(10) for attempt in [pool.submit(traffic.reserve, rival) for rival in rivals]]

    assert sum(refusal is None for refusal in refusals) == 1
    assert {type(refusal) for refusal in refusals} == {type(None), Refused}
    assert sum(len(traffic.present(rival)) for rival in rivals) == 1
