"""Connections are shared out: cancels first, then commands, then reads; organisations by turns, each with a part."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from runtime import connection_shares
from runtime.connection_shares import ConnectionShares, Holder, Lane, NoConnection

Shares = ConnectionShares


def holder(organisation: object = None) -> Holder:
    """A new caller, of a new organisation unless one is given."""
    return Holder(uuid4(), organisation.organisation if isinstance(organisation, Holder) else uuid4())


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 10))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def fill(shares: Shares, lane: Lane) -> list[Holder]:
    """Take places for new organisations until there is none."""
    holders: list[Holder] = []
    while shares._has_place(lane):
        holders.append(holder())
        await shares.acquire(lane, holders[-1])
    return holders


def test_a_caller_and_an_organisation_hold_no_more_than_their_part() -> None:
    async def story() -> None:
        shares, one = Shares(15), holder()
        colleague = holder(one)
        waiting = [asyncio.ensure_future(shares.acquire(Lane.READ, who)) for who in [one] * 9 + [colleague] * 9]
        await settled()

        assert sum(task.done() for task in waiting[:9]) == 3
        assert sum(task.done() for task in waiting[9:]) == 2
        assert shares.used == 5
        await shares.acquire(Lane.READ, holder())  # another organisation waits for none of them
        for task in waiting:
            task.cancel()

    run(story)


def test_reads_leave_places_for_commands_and_cancels() -> None:
    async def story() -> None:
        shares = Shares(15)

        assert len(await fill(shares, Lane.READ)) == 9
        assert len(await fill(shares, Lane.COMMAND)) == 3
        assert len(await fill(shares, Lane.CANCEL)) == 3

    run(story)


def test_commands_use_what_reads_leave_but_never_the_places_of_cancels() -> None:
    async def story() -> None:
        shares = Shares(15)

        assert len(await fill(shares, Lane.COMMAND)) == 12
        assert not shares._has_place(Lane.READ)
        assert len(await fill(shares, Lane.CANCEL)) == 3

    run(story)


@pytest.mark.parametrize("total", [2, 3, 5, 20, 500])
def test_a_cancel_always_has_a_place_that_reads_and_commands_cannot_take(total: int) -> None:
    async def story() -> None:
        shares = Shares(total)

        assert await fill(shares, Lane.READ)
        await fill(shares, Lane.COMMAND)
        assert await fill(shares, Lane.CANCEL)
        assert shares.used == total

    run(story)


def test_waiting_organisations_take_turns_however_much_one_of_them_asks_for() -> None:
    async def story() -> None:
        shares, greedy = Shares(15), holder()
        held, order = await fill(shares, Lane.READ), list[str]()

        async def wait(name: str, who: Holder) -> None:
            await shares.acquire(Lane.READ, who)
            order.append(name)

        waiting = [asyncio.ensure_future(wait("greedy", greedy)) for _ in range(3)]
        await settled()
        waiting += [asyncio.ensure_future(wait(name, holder())) for name in ("first", "second")]
        await settled()
        for one in held[:4]:
            shares.release(Lane.READ, one)
            await settled()

        assert order == ["greedy", "first", "second", "greedy"]
        for task in waiting:
            task.cancel()

    run(story)


def test_a_cancel_that_waits_is_served_before_a_read_that_has_waited_for_longer() -> None:
    async def story() -> None:
        shares, order = Shares(2), list[Lane]()
        reader, canceller = holder(), holder()
        await shares.acquire(Lane.READ, reader)
        await shares.acquire(Lane.CANCEL, canceller)

        async def wait(lane: Lane) -> None:
            who = holder()
            await shares.acquire(lane, who)
            order.append(lane)
            shares.release(lane, who)

        waiting = [asyncio.ensure_future(wait(lane)) for lane in (Lane.READ, Lane.COMMAND, Lane.CANCEL)]
        await settled()
        shares.release(Lane.READ, reader)
        await asyncio.gather(*waiting)

        assert order == [Lane.CANCEL, Lane.COMMAND, Lane.READ]

    run(story)


@pytest.mark.parametrize("own", [True, False])
def test_an_operation_that_waits_for_too_long_is_refused_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, *, own: bool
) -> None:
    async def story() -> None:
        monkeypatch.setattr(connection_shares, "WAIT_TIMEOUT", 0.01)
        shares, one = Shares(15), holder()
        held = [(Lane.READ, one)] * 3 if own else [(Lane.READ, who) for who in await fill(shares, Lane.READ)]
        if own:
            for lane, who in held:
                await shares.acquire(lane, who)

        with pytest.raises(NoConnection) as refused:
            await shares.acquire(Lane.READ, one)

        assert refused.value.own is own
        for lane, who in held:
            shares.release(lane, who)
        assert shares.used == 0

    run(story)


def test_an_operation_that_is_cancelled_while_it_waits_takes_no_place() -> None:
    async def story() -> None:
        shares = Shares(2)
        reader = holder()
        await shares.acquire(Lane.READ, reader)
        waiting = [asyncio.ensure_future(shares.acquire(Lane.READ, holder())) for _ in range(3)]
        await settled()
        waiting[0].cancel()
        shares.release(Lane.READ, reader)  # grants the second one, which is cancelled before it goes on
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

        assert [task.cancelled() for task in waiting] == [True, True, False]
        assert shares.used == 1

    run(story)
