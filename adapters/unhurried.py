"""Lets a step leave a call of a port that takes no patience: whoever cancels never waits for the outside."""

from collections.abc import Callable
from typing import TypeVar, cast

from adapters.interruption import interruptibly
from provisioning.saga import current_patience

LONGEST_CALL = 30.0
"""Seconds. No call of a built-in adapter takes as long while the outside is well."""

T = TypeVar("T")


def unhurried(port: T) -> T:
    """Give the same port; a step that is told to stop no longer waits for its calls.

    Only for ports whose destroying is final, because a call that was left goes on by itself.
    """
    return cast("T", Unhurried(port))


def leaving_in_time(call: Callable[[], T]) -> T:
    """Give what ``call`` returns. Raises StepStopped as soon as the step of this thread, if any, is told to stop."""
    patience = current_patience.get()
    return interruptibly(call, patience, within=LONGEST_CALL) if patience else call()


class Unhurried:
    """Stands before one port and passes every method on."""

    def __init__(self, port: object) -> None:
        self._port = port

    def __getattr__(self, method: str) -> Callable[..., object]:
        genuine: Callable[..., object] = getattr(self._port, method)
        return lambda *args: leaving_in_time(lambda: genuine(*args))
