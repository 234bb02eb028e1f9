"""Limits websockets: those without a token by their address, the others by their caller."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.connection_shares import Holder
from server.limits.concurrency import HolderLimit


class SocketLimits:
    """Counts websockets within this process.

    A websocket is a stranger's until its client has sent a token. Strangers cannot take the places of callers: the two
    are counted apart. They cannot shut callers out either, although every caller begins as a stranger: when an address
    has too many strangers, the oldest one is closed for the newest one.
    """

    def __init__(self, *, strangers_per_address: int, per_caller: int, per_organisation: int) -> None:
        self._limit = strangers_per_address
        self._strangers: dict[str, dict[object, Callable[[], object]]] = {}
        self._callers = HolderLimit("open websockets", per_caller=per_caller, per_organisation=per_organisation)

    def add_stranger(self, address: str, socket: object, close: Callable[[], object]) -> None:
        """Count a new websocket, and close the oldest one of the same address that has sent no token if need be."""
        strangers = self._strangers.setdefault(address, {})
        if len(strangers) >= self._limit:
            strangers.pop(next(iter(strangers)))()
        strangers[socket] = close

    def remove_stranger(self, address: str, socket: object) -> None:
        """Do not count the websocket as a stranger's any more: it sent its token, or it is closed."""
        strangers = self._strangers.get(address, {})
        strangers.pop(socket, None)
        if not strangers:
            self._strangers.pop(address, None)

    @contextmanager
    def of_caller(self, holder: Holder) -> Iterator[None]:
        """Count a websocket of a caller for the length of the block. Raises ConcurrencyLimitExceeded."""
        with self._callers.slot(holder):
            yield
