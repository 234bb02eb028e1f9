"""Watchers are woken by what concerns them, and by nothing else; waiting has an end."""

import asyncio

from runtime.feed import Feed, Watcher


def feed() -> Feed:
    return Feed("postgresql://nowhere", "channel")


def woken(watcher: Watcher) -> bool:
    return watcher._woken.is_set()


def test_a_hint_wakes_whoever_named_no_other_words() -> None:
    hub = feed()
    with (
        hub.watch("acme") as organisation,
        hub.watch("shop") as tenant,
        hub.watch("acme", "event") as events,
        hub.watch("event") as everywhere,
        hub.watch("globex", "event") as another,
    ):
        hub.notify("acme shop progress")
        assert [woken(one) for one in (organisation, tenant, events, everywhere, another)] == [
            True,
            True,
            False,
            False,
            False,
        ]
        hub.notify("acme - event")
        assert [woken(one) for one in (events, everywhere, another)] == [True, True, False]


def test_a_hundred_hints_are_one_look() -> None:
    async def look() -> bool:
        hub = feed()
        with hub.watch("shop") as watcher:
            for _ in range(100):
                hub.notify("acme shop event")
            await watcher.wait(5)
            return woken(watcher)

    assert asyncio.run(look()) is False


def test_waiting_ends_although_nobody_wakes() -> None:
    async def look() -> None:
        with feed().watch("shop") as watcher:
            await watcher.wait(0.01)

    asyncio.run(asyncio.wait_for(look(), 5))


def test_whoever_left_is_forgotten() -> None:
    hub = feed()
    with hub.watch("shop"), hub.watch("shop"):
        assert hub.watchers == 2

    assert hub.watchers == 0
    assert hub._watchers == {}
