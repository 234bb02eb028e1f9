"""Other releases' lists of steps, for a product that is upgraded while runs are under way."""

from collections.abc import Callable

from provisioning.saga import Saga

ALL: dict[str, Callable[[Saga], None]] = {}
