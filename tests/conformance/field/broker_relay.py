"""A relay in front of Valkey that loses replies with which Dramatiq's workers fetch messages."""

from collections import deque
from pathlib import Path

from tests.conformance.field import resp
from tests.conformance.field.relay import ConnectionCut, Filter, Relay


class ReplyLosingRelay(Relay):
    """Drops every n-th reply that contains messages, and cuts its connection.

    The worker continues and never sees these messages. Dramatiq counts them as in flight at a live worker, so it does
    not deliver them again. ``every`` may be changed at any time; with 0 nothing is lost.

    ``replies`` counts the replies with messages, ``lost_replies`` and ``lost_messages`` those that were dropped.
    """

    def __init__(self, target: Path, listen: Path, *, every: int) -> None:
        super().__init__(target, listen)
        self.every = every
        self.replies = 0
        self.lost_replies = 0
        self.lost_messages = 0

    def filter(self) -> Filter:
        """The filter for the fetches of a new connection."""
        return _Fetches(self)

    def loses(self, messages: int) -> bool:
        """Whether this reply gets lost. Called once for each reply with messages."""
        self.replies += 1
        if not self.every or self.replies % self.every:
            return False
        self.lost_replies += 1
        self.lost_messages += messages
        return True


class _Fetches(Filter):
    """Finds the request of each reply by their order, which is the same."""

    def __init__(self, relay: ReplyLosingRelay) -> None:
        self._relay = relay
        self._requests = bytearray()
        self._replies = bytearray()
        self._fetching: deque[bool] = deque()

    def request(self, data: bytes) -> bytes:
        self._requests += data
        while found := resp.take(self._requests):
            self._fetching.append(_is_fetch(found[0]))
        return data

    def reply(self, data: bytes) -> bytearray:
        self._replies += data
        whole = bytearray()
        while found := resp.take(self._replies):
            value, raw = found
            messages = self._messages_in(value)
            if messages and self._relay.loses(messages):
                raise ConnectionCut(before=whole)
            whole += raw
        return whole

    def _messages_in(self, value: resp.Value) -> int:
        if isinstance(value, resp.Push) or not self._fetching.popleft() or not isinstance(value, list):
            return 0
        return sum(message is not None for message in value)


def _is_fetch(command: resp.Value) -> bool:
    """Dramatiq sends each of its commands as ``EVALSHA <script> <number of keys> <keys> <command> …``."""
    match command:
        case [bytes(name), _, bytes(keys), *rest] if name.upper() in {b"EVALSHA", b"EVAL"}:
            return rest[int(keys) : int(keys) + 1] == [b"fetch"]
    return False
