"""The product with one protection taken away: each scenario has to notice the lack of its own."""

import importlib
import pkgutil
from collections.abc import Callable

import pytest

from tests.conformance import mutants

Removal = Callable[[pytest.MonkeyPatch], None]

ALL: dict[str, Removal] = {
    mutant.__name__: mutant
    for mutant in (
        mutants.no_token_check,
        mutants.no_due_time_in_the_claim,
        mutants.no_status_in_the_claim,
        mutants.no_sweeper,
        mutants.no_reverse_order,
        mutants.no_count_before_the_attempt,
        mutants.no_count_before_the_undo,
    )
}


def mutant(take_away: Removal) -> Removal:
    """Make it known by its name."""
    assert take_away.__name__ not in ALL, f"{take_away.__name__} is declared twice"
    ALL[take_away.__name__] = take_away
    return take_away


def load() -> None:
    """Import every module, so that its removals are known."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
