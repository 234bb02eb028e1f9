"""Every scenario of the manifest, and each again without the protection that it proves."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.effort import FULL
from tests.conformance.field import scenarios
from tests.conformance.field.scenario import MANIFEST, Fields, broken

scenarios.load()
CHOSEN = [one.id for one in MANIFEST.values() if FULL or one.quick]


@pytest.fixture(scope="module")
def fields() -> Iterator[Fields]:
    kept = Fields()
    yield kept
    kept.close()


@pytest.mark.parametrize("name", CHOSEN)
def test_scenario(fields: Fields, record_property: Callable[[str, object], None], name: str) -> None:
    with fields.play(MANIFEST[name]) as play:
        record_property("figure", MANIFEST[name].tell(play))


@pytest.mark.skipif("not config.getoption('--without-protections')")
@pytest.mark.parametrize("name", MANIFEST)
def test_it_notices_the_lack_of_its_protection(name: str) -> None:
    with pytest.raises(AssertionError) as caught, broken(MANIFEST[name]) as play:
        MANIFEST[name].tell(play)

    assert re.match(r"V\d+: ", str(caught.value)), caught.value
