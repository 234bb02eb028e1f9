"""The part of Redis' wire protocol, RESP 2 and 3, that splits a stream into values."""

from typing import TypeAlias

Value: TypeAlias = "bytes | list[Value] | None"
"""Blobs and simple values are bytes; arrays, sets and maps are lists. Errors are simple values here."""

BLOBS = b"$=!"
PUSH, ATTRIBUTES, NULL = b">", b"|", b"_"
LISTS = {b"*": 1, b"~": 1, PUSH: 1, b"%": 2}
"""How many values there are for each unit of the length: a map has keys and values."""


class Push(list[Value]):
    """A message of the server that is no reply to a request."""


class _Incomplete(Exception):
    """The buffer ends inside the value."""


def take(buffer: bytearray) -> tuple[Value, bytes] | None:
    """Remove one complete value from the front: the value and its raw bytes; None if it is not complete."""
    try:
        value, end = _read(buffer, 0)
    except _Incomplete:
        return None
    raw = bytes(buffer[:end])
    del buffer[:end]
    return value, raw


def _read(data: bytearray, start: int) -> tuple[Value, int]:
    """The value at ``start``, and the offset of the next one."""
    end = data.find(b"\r\n", start)
    if end < 0:
        raise _Incomplete
    kind, head, at = bytes(data[start : start + 1]), bytes(data[start + 1 : end]), end + 2
    if kind in BLOBS:
        return _blob(data, int(head), at)
    if kind in LISTS:
        return _list(data, int(head) * LISTS[kind], at, Push() if kind == PUSH else [])
    if kind == ATTRIBUTES:
        # Attributes precede the value that they describe.
        _, at = _list(data, 2 * int(head), at, [])
        return _read(data, at)
    return (None if kind == NULL else head), at


def _blob(data: bytearray, length: int, at: int) -> tuple[bytes | None, int]:
    if length < 0:
        return None, at
    end = at + length
    if len(data) < end + 2:
        raise _Incomplete
    return bytes(data[at:end]), end + 2


def _list(data: bytearray, length: int, at: int, into: list[Value]) -> tuple[list[Value] | None, int]:
    if length < 0:
        return None, at
    for _ in range(length):
        value, at = _read(data, at)
        into.append(value)
    return into, at
