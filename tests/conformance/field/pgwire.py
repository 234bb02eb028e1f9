"""The part of Postgres' wire protocol that shows the application name of a session and its commits.

The messages are those of https://www.postgresql.org/docs/18/protocol-message-formats.html.
"""

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


class Statements:
    """Finds the messages of a client that make the server commit, as a simple query or as a prepared statement."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, bool] = {}
        self._bound: dict[bytes, bool] = {}

    def commits(self, message: bytes) -> bool:
        """Whether this message commits. Has to be called for each message, in order."""
        words = message[1 + LENGTH :].split(b"\0", 2)
        match message[:1]:
            case b"Q":
                return _is_commit(words[0])
            case b"P":
                self._prepared[words[0]] = _is_commit(words[1])
            case b"B":
                self._bound[words[0]] = self._prepared.get(words[1], False)
            case b"E":
                return self._bound.get(words[0], False)
            case _:
                pass
        return False


def _take(buffer: bytearray, start: int) -> bytes | None:
    if len(buffer) < start + LENGTH:
        return None
    end = start + int.from_bytes(buffer[start : start + LENGTH])
    if len(buffer) < end:
        return None
    message = bytes(buffer[:end])
    del buffer[:end]
    return message


def _is_commit(statement: bytes) -> bool:
    return statement.strip(b" ;\n").upper() == b"COMMIT"
