"""A relay before Postgres that ends links at a COMMIT, so that the client never learns whether it took effect."""

import random
from enum import Enum, auto
from pathlib import Path

from tests.conformance.field import pgwire
from tests.conformance.field.relay import Filter, Relay, Severed

WORKERS = ("tenantry-worker",)


class Fate(Enum):
    """What becomes of a COMMIT."""

    ANSWERED = auto()
    NEVER_SENT = auto()
    NEVER_ANSWERED = auto()


class CutsCommits(Relay):
    """Ends the link at a share of the COMMITs: at half of them before the server hears, at half after it committed.

    Only sessions whose ``application_name`` begins with one of ``names`` are cut. ``share`` (0 to 1) may be changed
    at any time.

    ``commits`` counts those that these sessions asked for, ``never_sent`` those that did not happen, and
    ``never_answered`` those that did happen, behind the client's back.
    """

    def __init__(
        self, target: Path, listen: Path, *, share: float, seed: int, names: tuple[str, ...] = WORKERS
    ) -> None:
        super().__init__(target, listen)
        self.share = share
        self.names = names
        self.commits = 0
        self.never_sent = 0
        self.never_answered = 0
        self._random = random.Random(seed)

    def filter(self) -> Filter:
        """Watch the commits of a new link."""
        return _Session(self)

    def fate(self) -> Fate:
        """Decide about a COMMIT. Called once for each."""
        self.commits += 1
        if self._random.random() >= self.share:
            return Fate.ANSWERED
        return self._random.choice((Fate.NEVER_SENT, Fate.NEVER_ANSWERED))


class _Session(Filter):
    """Batches tell which answer belongs to which COMMIT: each side counts them, beginning with the greeting."""

    def __init__(self, relay: CutsCommits) -> None:
        self._relay = relay
        self._requests = bytearray()
        self._replies = bytearray()
        self._statements = pgwire.Statements()
        self._greeted = False
        self._spared = False
        self._asking = 1
        self._answering = 0
        self._doomed: int | None = None

    def request(self, data: bytes) -> bytes | bytearray:
        if self._spared:
            return data
        self._requests += data
        if not self._greeted:
            return self._greet()
        return self._pass_requests()

    def reply(self, data: bytes) -> bytes | bytearray:
        if self._spared:
            return data
        self._replies += data
        whole = bytearray()
        while message := pgwire.take(self._replies):
            if self._answering == self._doomed:
                self._withhold(message, whole)
            self._answering += pgwire.says_ready(message)
            whole += message
        return whole

    def _greet(self) -> bytes | bytearray:
        greeting = pgwire.take_greeting(self._requests)
        if greeting is None:
            return b""
        self._greeted = True
        self._spared = not pgwire.application_name(greeting).startswith(self._relay.names)
        return greeting + (self._requests if self._spared else self._pass_requests())

    def _pass_requests(self) -> bytearray:
        whole = bytearray()
        while message := pgwire.take(self._requests):
            if self._statements.commits(message) and self._doomed is None:
                self._decide(whole)
            self._asking += pgwire.ends_batch(message)
            whole += message
        return whole

    def _decide(self, before: bytearray) -> None:
        match self._relay.fate():
            case Fate.NEVER_SENT:
                self._relay.never_sent += 1
                raise Severed(before)
            case Fate.NEVER_ANSWERED:
                self._doomed = self._asking
            case Fate.ANSWERED:
                pass

    def _withhold(self, message: bytes, before: bytearray) -> None:
        if pgwire.says_committed(message):
            self._relay.never_answered += 1
            raise Severed(before)
        if pgwire.says_ready(message):
            # Postgres refused to commit: the client may know.
            self._doomed = None
