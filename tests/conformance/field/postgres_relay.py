"""A relay in front of Postgres that cuts connections at a COMMIT: the client cannot know whether it took effect."""

import random
from enum import Enum, auto
from pathlib import Path

from tests.conformance.field import pgwire
from tests.conformance.field.relay import ConnectionCut, Filter, Relay

WORKERS = ("tenantry-worker",)


class Fate(Enum):
    """What the relay does with a COMMIT."""

    ANSWERED = auto()
    NEVER_SENT = auto()
    NEVER_ANSWERED = auto()


class CommitCuttingRelay(Relay):
    """Cuts the connection at a share of the COMMITs: half of them before the server gets it, half after the commit.

    Only sessions are cut that have an ``application_name`` with one of the prefixes ``names``. ``share`` (0 to 1) may
    be changed at any time.

    ``commits`` counts the COMMITs of these sessions, ``never_sent`` those that the server never got, and
    ``never_answered`` those that took effect without an answer to the client.
    """

    def __init__(
        self, target: Path, socket_path: Path, *, share: float, seed: int, names: tuple[str, ...] = WORKERS
    ) -> None:
        super().__init__(target, socket_path)
        self.share = share
        self.names = names
        self.commits = 0
        self.never_sent = 0
        self.never_answered = 0
        self._random = random.Random(seed)

    def filter(self) -> Filter:
        """The filter for the commits of a new connection."""
        return _Session(self)

    def fate(self) -> Fate:
        """Decide about one COMMIT. Called once for each."""
        self.commits += 1
        if self._random.random() >= self.share:
            return Fate.ANSWERED
        return self._random.choice((Fate.NEVER_SENT, Fate.NEVER_ANSWERED))


class _Session(Filter):
    """Finds the answer to a COMMIT by its batch: both directions count batches, starting with the startup packet."""

    def __init__(self, relay: CommitCuttingRelay) -> None:
        self._relay = relay
        self._requests = bytearray()
        self._replies = bytearray()
        self._statements = pgwire.Statements()
        self._started = False
        self._ignored = False
        self._request_batch = 1
        self._reply_batch = 0
        self._cut_batch: int | None = None

    def request(self, data: bytes) -> bytes | bytearray:
        if self._ignored:
            return data
        self._requests += data
        if not self._started:
            return self._start()
        return self._pass_requests()

    def reply(self, data: bytes) -> bytes | bytearray:
        if self._ignored:
            return data
        self._replies += data
        whole = bytearray()
        while message := pgwire.take(self._replies):
            if self._reply_batch == self._cut_batch:
                self._cut_before(message, whole)
            self._reply_batch += pgwire.is_ready_for_query(message)
            whole += message
        return whole

    def _start(self) -> bytes | bytearray:
        startup = pgwire.take_startup(self._requests)
        if startup is None:
            return b""
        self._started = True
        self._ignored = not pgwire.application_name(startup).startswith(self._relay.names)
        return startup + (self._requests if self._ignored else self._pass_requests())

    def _pass_requests(self) -> bytearray:
        whole = bytearray()
        while message := pgwire.take(self._requests):
            if self._statements.commits(message) and self._cut_batch is None:
                self._decide(whole)
            self._request_batch += pgwire.ends_batch(message)
            whole += message
        return whole

    def _decide(self, before: bytearray) -> None:
        match self._relay.fate():
            case Fate.NEVER_SENT:
                self._relay.never_sent += 1
                raise ConnectionCut(before)
            case Fate.NEVER_ANSWERED:
                self._cut_batch = self._request_batch
            case Fate.ANSWERED:
                pass

    def _cut_before(self, message: bytes, before: bytearray) -> None:
        if pgwire.is_commit_complete(message):
            self._relay.never_answered += 1
            raise ConnectionCut(before)
        if pgwire.is_ready_for_query(message):
            # Postgres refused the commit: the client gets the error.
            self._cut_batch = None
