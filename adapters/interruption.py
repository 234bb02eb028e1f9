"""Calls that cannot be interrupted, made so that nobody has to wait for them."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from adapters.slots import current_slot
from provisioning.ports import Patience, TryAgain

T = TypeVar("T")

LOOK_EVERY = 0.05


class TookTooLong(TryAgain):
    """The call did not return in time. It may still have its effect."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"No answer within {seconds:g} s.")


class NobodyStops:
    """The patience of a call that nobody tells to stop: only its time ends it."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def checkpoint(self) -> None:
        """Go on."""


NOBODY_STOPS = NobodyStops()


def interruptibly(call: Callable[[], T], patience: Patience, *, within: float) -> T:
    """Give what ``call`` returns, or raise as soon as ``patience`` is told to stop, or TookTooLong (seconds).

    An abandoned call goes on by itself: use this only where a late effect is refused or undone.
    """
    patience.checkpoint()
    outcome = begun(call)
    deadline = time.monotonic() + within
    while not wait([outcome], LOOK_EVERY).done:
        patience.checkpoint()
        if time.monotonic() > deadline:
            raise TookTooLong(within)
    return outcome.result()


def begun(call: Callable[[], T]) -> Future[T]:
    """Give what will come of ``call``, which goes on by itself whether anybody waits for it or not."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  # handed over whole to the thread that asked
            outcome.set_exception(error)

    # A daemon: a hanging call must not keep the process from ending.
    thread = threading.Thread(target=run, name="interruptible-call", daemon=True)
    if slot := current_slot.get():
        slot.cover(thread)
    thread.start()
    return outcome
