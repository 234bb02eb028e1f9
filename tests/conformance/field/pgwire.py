"""The part of Postgres' wire protocol that shows the application name of a session and its commits.

The messages are those of https://www.postgresql.org/docs/18/protocol-message-formats.html.
"""

import re
from enum import Enum, auto

LENGTH = 4
"""Bytes of the length field. The length includes the field itself, but not the type byte before it."""


def take(buffer: bytearray) -> bytes | None:
    """Remove one complete message from the front; None if it is not complete."""
    return _take(buffer, 1)


def take_startup(buffer: bytearray) -> bytes | None:
    """Remove the startup packet, the only one without a type byte; None if it is not complete."""
    return _take(buffer, 0)


def application_name(startup: bytes) -> str:
    """The application name of a session. Empty without a name, and for a packet that cancels a statement."""
    words = startup[2 * LENGTH :].split(b"\0")
    return dict(zip(words[::2], words[1::2], strict=False)).get(b"application_name", b"").decode()


def ends_batch(message: bytes) -> bool:
    """Whether the server answers this message with one ReadyForQuery, after all earlier messages."""
    return message[:1] in {b"Q", b"S", b"F"}


def is_ready_for_query(message: bytes) -> bool:
    """Whether the message is ReadyForQuery, the end of the answer to a batch."""
    return message[:1] == b"Z"


def is_commit_complete(message: bytes) -> bool:
    """Whether the message reports a COMMIT. A failed COMMIT is reported as ROLLBACK or as an error."""
    return message[:1] == b"C" and message[1 + LENGTH :] == b"COMMIT\0"


def is_error(message: bytes) -> bool:
    """Whether the message of the server reports that a statement or a commit has failed."""
    return message[:1] == b"E"


def ends_transaction(message: bytes) -> bool:
    """Whether the message is ReadyForQuery of a session that is not in a transaction."""
    return is_ready_for_query(message) and message[1 + LENGTH :] == b"I"


class Statement(Enum):
    """What a statement means for the transaction of its session."""

    BEGIN = auto()
    COMMIT = auto()
    WRITE = auto()
    """It changes rows. Outside a transaction it is a transaction of its own, without a COMMIT."""
    OTHER = auto()


class Statements:
    """Finds the messages with which a client executes a statement: as a simple query, or as a prepared one."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, Statement] = {}
        self._bound: dict[bytes, Statement] = {}

    def executed_by(self, message: bytes) -> Statement | None:
        """The statement that this message executes, if it executes one. Has to be called for each message, in order."""
        words = message[1 + LENGTH :].split(b"\0", 2)
        match message[:1]:
            case b"Q":
                return kind_of(words[0])
            case b"P":
                self._prepared[words[0]] = kind_of(words[1])
            case b"B":
                self._bound[words[0]] = self._prepared.get(words[1], Statement.OTHER)
            case b"E":
                return self._bound.get(words[0], Statement.OTHER)
            case _:
                pass
        return None


NO_CODE = re.compile(rb"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
"""Comments and constants."""

CHANGES_ROWS = re.compile(rb"\b(INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|(?<!\bFOR )(?<!\bKEY )UPDATE)\b")
"""A lock, such as FOR NO KEY UPDATE, changes no row."""


def kind_of(statement: bytes) -> Statement:
    """What the statement means for the transaction of its session."""
    code = NO_CODE.sub(b" ", statement).strip(b" ;\n").upper()
    if code == b"COMMIT":
        return Statement.COMMIT
    if code.startswith((b"BEGIN", b"START TRANSACTION")):
        return Statement.BEGIN
    return Statement.WRITE if CHANGES_ROWS.search(code) else Statement.OTHER


def _take(buffer: bytearray, start: int) -> bytes | None:
    if len(buffer) < start + LENGTH:
        return None
    end = start + int.from_bytes(buffer[start : start + LENGTH])
    if len(buffer) < end:
        return None
    message = bytes(buffer[:end])
    del buffer[:end]
    return message
