"""The scenarios of the manifest."""

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.field.scenario import MANIFEST, Fields


@pytest.fixture(scope="module")
def fields() -> Iterator[Fields]:
    kept = Fields()
    yield kept
    kept.close()


def test_scenario(fields: Fields, record_property: Callable[[str, object], None], scenario_id: str) -> None:
    with fields.play(MANIFEST[scenario_id]) as play:
        record_property("figure", MANIFEST[scenario_id].tell(play))
