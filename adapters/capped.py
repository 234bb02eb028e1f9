"""Keeps the calls of one port within a cap, whoever makes them."""

from collections.abc import Callable
from typing import TypeVar, cast

from adapters.interruption import NOBODY_STOPS
from adapters.slots import Cap, Slot, current_slot
from provisioning.saga import current_patience

UNDOING = frozenset({"destroy", "release", "tear_down"})
"""The methods of ports that undo something, whichever step calls them."""

T = TypeVar("T")


def capped(port: T, calls: int) -> T:
    """Give the same port; this process makes at most so many calls of it at once. Waiting is a safe point."""
    return cast("T", Capped(port, Cap(calls)))


class Capped:
    """Stands before one port and passes every method on."""

    def __init__(self, port: object, cap: Cap) -> None:
        self.port = port
        self.cap = cap

    def __getattr__(self, method: str) -> Callable[..., object]:
        genuine: Callable[..., object] = getattr(self.port, method)
        return lambda *args: self._call(genuine, Slot(undoes=method in UNDOING), args)

    def _call(self, genuine: Callable[..., object], slot: Slot, args: tuple[object, ...]) -> object:
        try:
            self.cap.take(slot, current_patience.get() or NOBODY_STOPS)
            current_slot.set(slot)
            return genuine(*args)
        finally:
            # An assignment and first: Dramatiq's interrupts arrive where something is called, so not before it.
            slot.in_use = False
            current_slot.set(None)
