"""Just enough of Postgres' wire protocol to see who connects and what commits.

The messages are those of https://www.postgresql.org/docs/18/protocol-message-formats.html.
"""

LENGTH = 4
"""Bytes of a message's length, which counts itself but not the byte of type before it."""


def take(buffer: bytearray) -> bytes | None:
    """Take one whole message off the front, if there is one."""
    return _take(buffer, 1)


def take_greeting(buffer: bytearray) -> bytes | None:
    """Take the first packet of a link off the front, if it is whole: the only one without a type."""
    return _take(buffer, 0)


def application_name(greeting: bytes) -> str:
    """Who starts a session. Empty for one without a name, and for a packet that only cancels a statement."""
    words = greeting[2 * LENGTH :].split(b"\0")
    return dict(zip(words[::2], words[1::2], strict=False)).get(b"application_name", b"").decode()


def ends_batch(message: bytes) -> bool:
    """Tell whether the server says that it is ready, once, when it has answered all up to this message."""
    return message[:1] in {b"Q", b"S", b"F"}


def says_ready(message: bytes) -> bool:
    """Tell whether the server has answered a batch to its end."""
    return message[:1] == b"Z"


def says_committed(message: bytes) -> bool:
    """Tell whether the server has committed. Where it could not, it says ROLLBACK, or complains."""
    return message[:1] == b"C" and message[1 + LENGTH :] == b"COMMIT\0"


class Statements:
    """Knows which of a client's messages make the server commit, sent as plain text or prepared, bound and executed."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, bool] = {}
        self._bound: dict[bytes, bool] = {}

    def commits(self, message: bytes) -> bool:
        """Tell whether this message does. To be asked about each, in order."""
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
