"""Which scenarios are told: the quick ones, all that may share the machine, or all that must not."""

from collections.abc import Callable

import pytest

from tests.conformance.field import scenarios
from tests.conformance.field.scenario import MANIFEST, Scenario

SHARES: dict[str, Callable[[Scenario], bool]] = {
    "quick": lambda one: one.quick,
    "together": lambda one: not one.alone,
    "alone": lambda one: one.alone,
    "all": lambda _: True,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", choices=list(SHARES), default="quick", help="which scenarios of the manifest")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario_id" in metafunc.fixturenames:
        scenarios.load()
        # Unknown when a folder above was asked for: then this file is read too late to declare it.
        share = SHARES[metafunc.config.getoption("--share", "quick")]
        metafunc.parametrize("scenario_id", [one.id for one in MANIFEST.values() if share(one)])
