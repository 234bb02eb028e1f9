"""Reads of an operation wait for those of its parts that wait for their turns."""

import asyncio
from uuid import uuid4

from runtime.loop_share import STARTING, LoopShare, Parts


def new_parts() -> Parts:
    return Parts(LoopShare(), uuid4())


async def iterations(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_without_turns_a_read_begins_at_once() -> None:
    async def scenario() -> bool:
        complete = asyncio.ensure_future(new_parts().complete())
        await iterations(1)
        return complete.done()

    assert asyncio.run(scenario())


def test_a_read_waits_for_all_parts_and_then_for_what_they_begin() -> None:
    async def scenario() -> list[bool]:
        parts = new_parts()
        with parts.waiting():
            with parts.waiting():
                complete = asyncio.ensure_future(parts.complete())
                await iterations(3 * STARTING)
                seen = [complete.done()]
            await iterations(3 * STARTING)
            seen.append(complete.done())
        await iterations(STARTING)
        seen.append(complete.done())
        await iterations(STARTING)
        return [*seen, complete.done()]

    assert asyncio.run(scenario()) == [False, False, False, True]


def test_a_part_that_had_its_turn_before_the_read_is_waited_for_once() -> None:
    async def scenario() -> list[bool]:
        parts = new_parts()
        with parts.waiting():
            pass
        first = asyncio.ensure_future(parts.complete())
        await iterations(STARTING - 1)
        seen = [first.done()]
        await first
        second = asyncio.ensure_future(parts.complete())
        await iterations(1)
        return [*seen, second.done()]

    assert asyncio.run(scenario()) == [False, True]


def test_a_part_that_is_cancelled_holds_up_no_read() -> None:
    async def scenario() -> bool:
        parts = new_parts()

        async def part() -> None:
            with parts.waiting():
                await asyncio.get_running_loop().create_future()

        waiting = asyncio.ensure_future(part())
        await iterations(1)
        complete = asyncio.ensure_future(parts.complete())
        await iterations(1)
        waiting.cancel()
        await iterations(2 * STARTING)
        return complete.done()

    assert asyncio.run(scenario())
