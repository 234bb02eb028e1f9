"""Each scenario of the manifest without the protection that it proves. Run by ``--without-protections``."""

from collections.abc import Callable

import pytest

from tests.conformance.field.scenario import MANIFEST, broken


def test_without_its_protection(record_property: Callable[[str, object], None], scenario_id: str) -> None:
    one = MANIFEST[scenario_id]
    with pytest.raises(AssertionError) as caught, broken(one) as play:
        one.tell(play)

    said = str(caught.value).splitlines()[0]
    assert said.partition(": ")[0] in one.breaks, caught.value
    record_property("figure", f"{one.mutant}: {said[:120]}")
