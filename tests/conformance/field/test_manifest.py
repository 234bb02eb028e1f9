"""The scenarios of the manifest."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.field.scenario import MANIFEST, SharedTestbeds


@pytest.fixture(scope="module")
def testbeds() -> Iterator[SharedTestbeds]:
    testbeds = SharedTestbeds()
    yield testbeds
    testbeds.close()


def test_scenario(testbeds: SharedTestbeds, record_property: Callable[[str, object], None], scenario_id: str) -> None:
    with testbeds.harness(MANIFEST[scenario_id]) as harness:
        record_property("figure", MANIFEST[scenario_id].run(harness))
