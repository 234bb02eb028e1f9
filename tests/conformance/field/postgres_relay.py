"""A relay in front of Postgres that cuts connections at a commit: the client cannot know whether it took effect.

Two things commit: COMMIT, and a statement that changes rows outside a transaction.
"""

import random
from enum import Enum, auto
from pathlib import Path

from tests.conformance.field import pgwire
from tests.conformance.field.pgwire import Statement
from tests.conformance.field.relay import ConnectionCut, Filter, Relay

WORKERS = ("tenantry-worker",)


class Fate(Enum):
    """What the relay does with a commit."""

    ANSWERED = auto()
    NEVER_SENT = auto()
    NEVER_ANSWERED = auto()


class CommitCuttingRelay(Relay):
    """Cuts the connection at a share of the commits: half of them before the server gets it, half after the commit.

    Only sessions are cut that have an ``application_name`` with one of the prefixes ``names``. ``share`` (0 to 1) may
    be changed at any time.

    ``commits`` counts the commits of these sessions, ``statements`` those of them without a COMMIT, ``never_sent`` the
    commits that the server never got, and ``never_answered`` those that took effect without an answer to the client.
    """

    def __init__(
        self, target: Path, socket_path: Path, *, share: float, seed: int, names: tuple[str, ...] = WORKERS
    ) -> None:
        super().__init__(target, socket_path)
        self.share = share
        self.names = names
        self.commits = 0
        self.statements = 0
        self.never_sent = 0
        self.never_answered = 0
        self._random = random.Random(seed)

    def filter(self) -> Filter:
        """The filter for the commits of a new connection."""
        return _Session(self)

    def fate(self) -> Fate:
        """Decide about one commit. Called once for each."""
        self.commits += 1
        if self._random.random() >= self.share:
            return Fate.ANSWERED
        return self._random.choice((Fate.NEVER_SENT, Fate.NEVER_ANSWERED))


class _Session(Filter):
    """Finds the answer to a commit by its batch: both directions count batches, starting with the startup packet."""

    def __init__(self, relay: CommitCuttingRelay) -> None:
        self._relay = relay
        self._requests = bytearray()
        self._replies = bytearray()
        self._withheld = bytearray()
        self._statements = pgwire.Statements()
        self._started = False
        self._ignored = False
        self._request_batch = 1
        self._reply_batch = 0
        self._cut_batch: int | None = None
        self._cut_at: Statement | None = None
        self._refused = False
        self._between_transactions = False

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
                self._withhold(message, whole)
            else:
                whole += message
            if pgwire.is_ready_for_query(message):
                self._reply_batch += 1
                self._between_transactions = pgwire.ends_transaction(message)
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
            statement = self._statements.executed_by(message)
            if self._commits(statement) and self._cut_batch is None:
                self._decide(statement, whole)
            self._request_batch += pgwire.ends_batch(message)
            whole += message
        return whole

    def _commits(self, statement: Statement | None) -> bool:
        """Whether the statement commits. Several in one batch, outside a transaction, commit together: once."""
        alone = self._between_transactions and self._request_batch == self._reply_batch
        if statement in (Statement.BEGIN, Statement.WRITE):
            self._between_transactions = False
        return statement is Statement.COMMIT or (statement is Statement.WRITE and alone)

    def _decide(self, statement: Statement | None, before: bytearray) -> None:
        self._relay.statements += statement is Statement.WRITE
        match self._relay.fate():
            case Fate.NEVER_SENT:
                self._relay.never_sent += 1
                raise ConnectionCut(before)
            case Fate.NEVER_ANSWERED:
                self._cut_batch, self._cut_at, self._refused = self._request_batch, statement, False
            case Fate.ANSWERED:
                pass

    def _withhold(self, message: bytes, before: bytearray) -> None:
        """Keep the answer back until it shows whether Postgres has committed: then the connection ends without it."""
        self._withheld += message
        self._refused |= pgwire.is_error(message)
        if self._committed(message):
            self._relay.never_answered += 1
            raise ConnectionCut(before)
        if pgwire.is_ready_for_query(message):
            # Postgres refused the commit: the client gets the error.
            before += self._withheld
            self._withheld.clear()
            self._cut_batch = None

    def _committed(self, message: bytes) -> bool:
        """Whether this message shows the commit. Without a COMMIT, only the end of the batch shows it."""
        if self._cut_at is Statement.COMMIT:
            return pgwire.is_commit_complete(message)
        return pgwire.ends_transaction(message) and not self._refused
