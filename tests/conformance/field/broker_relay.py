"""A relay before Valkey that loses the replies in which Dramatiq's workers fetch messages."""

from collections import deque
from pathlib import Path

from tests.conformance.field import resp
from tests.conformance.field.relay import Filter, Relay, Severed


class LosesReplies(Relay):
    """Swallows every n-th reply that carries messages, and ends its link.

    The worker lives on and never sees these messages. For Dramatiq they are in flight at a living worker, so nobody
    delivers them again. ``every`` may be changed at any time; 0 loses nothing.

    ``replies`` counts those that carried messages, ``lost_replies`` and ``lost_messages`` what was swallowed.
    """

    def __init__(self, target: Path, listen: Path, *, every: int) -> None:
        super().__init__(target, listen)
        self.every = every
        self.replies = 0
        self.lost_replies = 0
        self.lost_messages = 0

    def filter(self) -> Filter:
        """Watch the fetches of a new link."""
        return _Fetches(self)

    def loses(self, messages: int) -> bool:
        """Tell whether this reply gets lost. Called once for each that carries messages."""
        self.replies += 1
        if not self.every or self.replies % self.every:
            return False
        self.lost_replies += 1
        self.lost_messages += messages
        return True


class _Fetches(Filter):
    """Replies come in the order of their requests: this is how it knows what was asked."""

    def __init__(self, relay: LosesReplies) -> None:
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
            value, spelt = found
            messages = self._messages_in(value)
            if messages and self._relay.loses(messages):
                raise Severed(before=whole)
            whole += spelt
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
