"""Runs each scenario of the manifest with each of its mutants, for ``--without-protections``."""

from collections.abc import Callable

import pytest

from tests.conformance.field.scenario import MANIFEST, running_mutant


def test_without_its_protection(record_property: Callable[[str, object], None], scenario_id: str) -> None:
    scenario_ = MANIFEST[scenario_id]
    for mutant in scenario_.mutants:
        with pytest.raises(AssertionError) as caught, running_mutant(scenario_, mutant) as harness:
            scenario_.run(harness)

        failure = str(caught.value).splitlines()[0]
        assert failure.partition(": ")[0] in scenario_.breaks, caught.value
        record_property("figure", f"{mutant}: {failure[:120]}")
