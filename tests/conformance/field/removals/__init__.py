"""The product with one protection taken away: each scenario has to notice the lack of its own."""

import importlib
import pkgutil
from collections.abc import Callable

import pytest

from tests.conformance import broken

Removal = Callable[[pytest.MonkeyPatch], None]

ALL: dict[str, Removal] = {
    removal.__name__: removal
    for removal in (
        broken.no_token_check,
        broken.no_due_time_in_the_claim,
        broken.no_status_in_the_claim,
        broken.no_sweeper,
        broken.no_reverse_order,
        broken.no_count_before_the_attempt,
        broken.no_count_before_the_undo,
    )
}


def removal(take_away: Removal) -> Removal:
    """Make it known by its name."""
    assert take_away.__name__ not in ALL, f"{take_away.__name__} is declared twice"
    ALL[take_away.__name__] = take_away
    return take_away


def load() -> None:
    """Import every module, so that its removals are known."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
