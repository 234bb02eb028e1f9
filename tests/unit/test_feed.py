"""A notification wakes the watchers that it matches, and no others; a wait has a timeout."""

import asyncio

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


def test_a_watcher_is_removed_at_the_end_of_its_block() -> None:
    a_feed = new_feed()
    with a_feed.watch("shop"), a_feed.watch("shop"):
        assert a_feed.watchers == 2

    assert a_feed.watchers == 0
    assert a_feed._watchers == {}
