"""A notification wakes the watchers that it matches, and no others; a wait has a timeout."""

import asyncio
from collections.abc import Collection, Mapping
from uuid import UUID, uuid4

import pytest

from runtime import feed
from runtime.feed import Feed, Watcher


def new_feed() -> Feed:
    return Feed("postgresql://nowhere", "channel")


def woken(watcher: Watcher) -> bool:
    return watcher._woken.is_set()


def test_a_notification_wakes_the_watchers_of_a_subset_of_its_words() -> None:
    a_feed = new_feed()
    with (
        a_feed.watch("acme") as organisation,
        a_feed.watch("shop") as tenant,
        a_feed.watch("acme", "event") as events,
        a_feed.watch("event") as everywhere,
        a_feed.watch("globex", "event") as another,
    ):
        a_feed.notify("acme shop progress")
        assert [woken(one) for one in (organisation, tenant, events, everywhere, another)] == [
            True,
            True,
            False,
            False,
            False,
        ]
        a_feed.notify("acme - event")
        assert [woken(one) for one in (events, everywhere, another)] == [True, True, False]


def test_a_hundred_notifications_cause_one_poll() -> None:
    async def poll() -> bool:
        a_feed = new_feed()
        with a_feed.watch("shop") as watcher:
            for _ in range(100):
                a_feed.notify("acme shop event")
            await watcher.wait(5)
            return woken(watcher)

    assert asyncio.run(poll()) is False


def test_a_wait_without_a_notification_ends_at_its_timeout() -> None:
    async def poll() -> None:
        with new_feed().watch("shop") as watcher:
            await watcher.wait(0.01)

    asyncio.run(asyncio.wait_for(poll(), 5))


ACME, SHOP = str(uuid4()), str(uuid4())


def marks_of(marks: Mapping[str, str | None]) -> feed.ReadMarks:
    async def read_marks(ids: Collection[UUID]) -> Mapping[str, str | None]:
        return {str(id_): marks[str(id_)] for id_ in ids if str(id_) in marks}

    return read_marks


def polled(a_feed: Feed, marks: Mapping[str, str | None], *watchers: Watcher) -> list[bool]:
    """Which watchers a poll with these marks wakes."""
    asyncio.run(a_feed.poll_once(marks_of(marks)))
    were_woken = [woken(one) for one in watchers]
    for one in watchers:
        one._woken.clear()
    return were_woken


def test_a_poll_wakes_the_watchers_of_what_has_changed() -> None:
    a_feed = new_feed()
    with a_feed.watch(ACME, "event") as acme, a_feed.watch(SHOP) as shop, a_feed.watch("event") as everything:
        # The first poll cannot know what each has read, and nothing tells whether everything has changed.
        assert polled(a_feed, {ACME: "1", SHOP: "1"}, acme, shop, everything) == [True, True, True]
        assert polled(a_feed, {ACME: "1", SHOP: "1"}, acme, shop, everything) == [False, False, True]
        assert polled(a_feed, {ACME: "1", SHOP: "2"}, acme, shop) == [False, True]
        assert polled(a_feed, {ACME: "1"}, acme, shop) == [False, True]
        with a_feed.watch(ACME, "event") as newer:
            assert polled(a_feed, {ACME: "1", SHOP: "2"}, acme, newer) == [False, False]
            assert polled(a_feed, {ACME: "2", SHOP: "2"}, acme, newer) == [True, True]


def test_a_poll_without_a_watcher_reads_nothing() -> None:
    async def read_marks(_: Collection[UUID]) -> Mapping[str, str | None]:
        raise AssertionError("nothing is watched")

    asyncio.run(new_feed().poll_once(read_marks))


def test_the_poll_after_one_that_failed_wakes_every_watcher() -> None:
    async def fail(_: Collection[UUID]) -> Mapping[str, str | None]:
        raise OSError("no database")

    a_feed = new_feed()
    with a_feed.watch(SHOP) as shop:
        polled(a_feed, {SHOP: "1"}, shop)
        with pytest.raises(OSError, match="no database"):
            asyncio.run(a_feed.poll_once(fail))
        assert polled(a_feed, {SHOP: "1"}, shop) == [True]


def test_polling_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "POLL_EVERY", 0.001)
    errors = iter([OSError("no database")])

    async def read_marks(_: Collection[UUID]) -> Mapping[str, str | None]:
        if error := next(errors, None):
            raise error
        return {}

    async def poll() -> None:
        a_feed = new_feed()
        with a_feed.watch(SHOP) as shop:
            polling = asyncio.create_task(a_feed.poll(read_marks))
            async with asyncio.timeout(5):
                await shop.wait()
            polling.cancel()

    asyncio.run(poll())


def test_a_watcher_is_removed_at_the_end_of_its_block() -> None:
    a_feed = new_feed()
    with a_feed.watch("shop"), a_feed.watch("shop"):
        assert a_feed.watchers == 2

    assert a_feed.watchers == 0
    assert a_feed._watchers == {}
