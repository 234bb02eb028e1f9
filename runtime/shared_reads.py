"""Reads that several operations ask for at the same moment, made once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class SharedReads:
    """Joins identical reads until they begin: one that has begun might not see what woke the operation that joins."""

    def __init__(self) -> None:
        self._joinable: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The result of the read with this key. Raises what it raises. It goes on when a caller is cancelled."""
        task = self._joinable.get(key)
        if task is None:
            task = self._joinable[key] = asyncio.create_task(self._begin(key, read))
            task.add_done_callback(_note_result)
        result: T = await asyncio.shield(task)
        return result

    async def _begin(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        try:
            await asyncio.sleep(0)  # all operations that the same hint has woken join
        finally:
            del self._joinable[key]
        return await read()


def _note_result(task: asyncio.Task[Any]) -> None:
    """Asyncio warns of an error that no caller has seen: here all callers may have been cancelled."""
    if not task.cancelled():
        task.exception()
