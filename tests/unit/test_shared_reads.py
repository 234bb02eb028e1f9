"""Operations that ask for the same at the same moment share a read, and none gets an older one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from runtime.shared_reads import SharedReads


class Reads:
    """Reads that are numbered, and end when they are let go."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[int] = asyncio.Queue()
        self.go = asyncio.Event()
        self._number = 0

    async def __call__(self) -> int:
        self._number += 1
        number = self._number
        self.begun.put_nowait(number)
        await self.go.wait()
        return number


def run(scenario: Callable[[SharedReads, Reads], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(5):
            await scenario(SharedReads(), Reads())

    asyncio.run(within())


def test_what_is_asked_at_the_same_moment_is_read_once() -> None:
    async def scenario(shared: SharedReads, reads: Reads) -> None:
        reads.go.set()
        asked = ["shop"] * 50 + ["other"]
        results = await asyncio.gather(*(shared.read(key, reads) for key in asked))
        assert results == [1] * 50 + [2]
        assert await shared.read("shop", reads) == 3

    run(scenario)


def test_a_read_that_has_begun_is_not_joined() -> None:
    async def scenario(shared: SharedReads, reads: Reads) -> None:
        first = asyncio.create_task(shared.read("shop", reads))
        await reads.begun.get()
        second = asyncio.create_task(shared.read("shop", reads))
        await reads.begun.get()
        reads.go.set()
        assert (await first, await second) == (1, 2)

    run(scenario)


def test_a_caller_that_is_cancelled_ends_no_other_one() -> None:
    async def scenario(shared: SharedReads, reads: Reads) -> None:
        first, second = (asyncio.create_task(shared.read("shop", reads)) for _ in range(2))
        await reads.begun.get()
        first.cancel()
        reads.go.set()
        assert await second == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    run(scenario)


def test_an_error_reaches_every_caller() -> None:
    async def fail() -> int:
        raise OSError("no database")

    async def scenario(shared: SharedReads, _: Reads) -> None:
        results = await asyncio.gather(*(shared.read("shop", fail) for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == ["no database"] * 3

    run(scenario)
