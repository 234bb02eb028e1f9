"""A host name has one holder at a time; a second reservation is refused with the holder's name."""

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


def test_a_second_reservation_is_refused_with_the_name_of_the_holder(traffic: HostNames) -> None:
    holder = fresh_names()
    traffic.reserve(holder)

    with pytest.raises(Refused) as refusal:
        traffic.reserve(rival_of(holder))

    assert str(refusal.value) == (
        f"The host name {holder.address}.localhost is held by {holder.stem}; release that one first."
    )
    assert traffic.present(holder) == [f"{holder.address}.localhost"]


def test_a_release_by_another_tenant_leaves_the_holders_name(traffic: HostNames) -> None:
    holder = fresh_names()
    traffic.reserve(holder)

    traffic.release(rival_of(holder))

    assert traffic.present(holder) == [f"{holder.address}.localhost"]


def test_a_released_name_can_be_reserved_by_another_tenant(traffic: HostNames) -> None:
    holder = fresh_names()
    rival = rival_of(holder)
    traffic.reserve(holder)
    traffic.release(holder)

    traffic.reserve(rival)

    assert (traffic.present(holder), traffic.present(rival)) == ([], [f"{holder.address}.localhost"])


def test_one_of_six_simultaneous_reservations_succeeds(traffic: HostNames) -> None:
    first = fresh_names()
    rivals = [first, *(rival_of(first) for _ in range(5))]

    with ThreadPoolExecutor(6) as pool:
        refusals = [attempt.exception(10) for attempt in [pool.submit(traffic.reserve, rival) for rival in rivals]]

    assert sum(refusal is None for refusal in refusals) == 1
    assert {type(refusal) for refusal in refusals} == {type(None), Refused}
    assert sum(len(traffic.present(rival)) for rival in rivals) == 1
