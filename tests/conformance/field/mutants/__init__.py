"""Mutants of the product, each without one protection: a scenario has to fail on its own mutant."""

import importlib
import pkgutil
from collections.abc import Callable

import pytest

from tests.conformance import mutants

Mutant = Callable[[pytest.MonkeyPatch], None]

ALL: dict[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        mutants.no_fencing_token_check,
        mutants.no_due_time_check_in_claim,
        mutants.no_status_check_in_claim,
        mutants.no_sweeper,
        mutants.no_attempt_counted_before_start,
    )
}


def mutant(apply: Mutant) -> Mutant:
    """Register a mutant under its name."""
    assert apply.__name__ not in ALL, f"{apply.__name__} is declared twice"
    ALL[apply.__name__] = apply
    return apply


def load() -> None:
    """Import every module, so that its mutants are registered."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
