"""Hints over Redis: one message for many, none where nothing listens, and no harm while Redis is away or slow."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from devserver import directories
from devserver.processes import Child
from devserver.servers import Valkey
from provisioning.events import CANCEL_CHANNEL, FEED_CHANNEL, cancel_hint, feed_hint
from runtime import feed as feed_module
from runtime.database import Database
from runtime.feed import Feed, Watcher
from runtime.hints import Hint, HintSender
from runtime.settings import HintCarrier, Settings, settings
from tests.run_harness import RunHarness
from tests.waiting import wait_until
from workers import redis_hints
from workers.heartbeat import Heartbeat
from workers.redis_hints import RedisCancelListener, RedisCarrier, change_feed, channel_of, hint_sender
from workers.running_steps import RunningSteps


class Otherwise:
    """The carrier of urgent hints that Redis does not deliver."""

    def __init__(self) -> None:
        self.sent: list[Hint] = []

    def send(self, hints: Any) -> bool:
        self.sent += hints
        return True

    def close(self) -> None:
        pass


class Broker:
    """A Valkey server of the test, which it can stop and pause."""

    def __init__(self, folder: Path) -> None:
        self._valkey = Valkey(directories.prepare(folder))
        self.child: Child = self._valkey.start()
        self.settings: Settings = settings().model_copy(
            update={"hints": HintCarrier.REDIS, "redis_url": self._valkey.url}
        )
        self.client = redis.Redis.from_url(self._valkey.url)

    def restart(self) -> None:
        self.child = self._valkey.start()

    def publishes(self) -> int:
        stats: Any = self.client.info("commandstats")
        return int(stats.get("cmdstat_publish", {"calls": 0})["calls"])

    def listeners(self, channel: str) -> int:
        name = channel_of(self.client, channel)
        counts: Any = self.client.pubsub_numsub(name)
        return int(counts[0][1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("valkey"))
    yield broker
    broker.client.close()
    broker.child.stop()


@pytest.fixture
def broker(server: Broker) -> Broker:
    server.client.config_resetstat()
    return server


@contextmanager
def sending(broker: Broker) -> Iterator[tuple[HintSender, Otherwise]]:
    otherwise = Otherwise()
    sender = HintSender(RedisCarrier(broker.settings, otherwise))
    try:
        yield sender, otherwise
    finally:
        sender.close()


@contextmanager
def listening(broker: Broker, *channels: str) -> Iterator[list[str]]:
    """The messages on these channels."""
    heard: list[str] = []
    subscription = broker.client.pubsub()  # type: ignore[no-untyped-call]  # redis-py has no annotations here
    subscription.subscribe(
        **{
            channel_of(broker.client, channel): lambda message: heard.append(message["data"].decode())
            for channel in channels
        }
    )
    ended = threading.Event()

    def listen() -> None:
        while not ended.is_set():
            subscription.get_message(timeout=0.05)

    thread = threading.Thread(target=listen)
    thread.start()
    wait_until(lambda: all(broker.listeners(channel) for channel in channels))
    try:
        yield heard
    finally:
        ended.set()
        thread.join()
        subscription.close()


@contextmanager
def running_feed(broker: Broker) -> Iterator[tuple[Feed, list[Watcher]]]:
    """A feed that listens, with one watcher of ``shop``."""
    feed = change_feed(broker.settings)
    loop = asyncio.new_event_loop()
    task = loop.create_task(feed.listen())

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            loop.run_until_complete(loop.shutdown_asyncgens())

    thread = threading.Thread(target=run)
    with feed.watch("shop") as watcher:
        thread.start()
        try:
            yield feed, [watcher]
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(20)
            loop.close()


def woken(watcher: Watcher) -> bool:
    return watcher._woken.is_set()


def test_many_hints_are_few_messages_and_each_payload_is_a_line(broker: Broker) -> None:
    with listening(broker, FEED_CHANNEL) as heard, sending(broker) as (sender, otherwise):
        for number in range(500):
            sender([Hint(FEED_CHANNEL, f"acme {number} event")])
        wait_until(lambda: sum(len(message.splitlines()) for message in heard) == 500)

        assert [line for message in heard for line in message.splitlines()] == [
            f"acme {number} event" for number in range(500)
        ]
        assert broker.publishes() == len(heard) < 100
    assert otherwise.sent == []


def test_the_hints_of_one_commit_are_one_message(broker: Broker) -> None:
    organisation, tenants = uuid4(), [uuid4(), uuid4()]
    with listening(broker, FEED_CHANNEL) as heard, sending(broker) as (sender, _):
        sender([feed_hint(organisation, tenant) for tenant in tenants])
        wait_until(lambda: bool(heard))

    assert heard == [f"{organisation} {tenants[0]} event\n{organisation} {tenants[1]} event"]
    assert broker.publishes() == 1


def test_nothing_is_published_where_nothing_listens(broker: Broker) -> None:
    with sending(broker) as (sender, otherwise):
        sender([Hint(FEED_CHANNEL, "acme shop event"), cancel_hint(uuid4())])
        wait_until(lambda: bool(otherwise.sent))

    assert broker.publishes() == 0
    assert [hint.channel for hint in otherwise.sent] == [CANCEL_CHANNEL]


def test_a_cancel_goes_by_redis_if_a_worker_listens_there(broker: Broker) -> None:
    run = uuid4()
    with listening(broker, CANCEL_CHANNEL) as heard, sending(broker) as (sender, otherwise):
        sender([cancel_hint(run)])
        wait_until(lambda: bool(heard))

    assert heard == [str(run)]
    assert otherwise.sent == []


def test_a_channel_has_the_namespace_and_the_number_of_the_database() -> None:
    for url, name in (
        ("redis://broker", "tenantry:0:tenantry_feed"),
        ("redis://broker:6379/3", "tenantry:3:tenantry_feed"),
        ("rediss://:secret@broker/3?db=5", "tenantry:5:tenantry_feed"),
        ("unix:///run/broker.sock?db=2", "tenantry:2:tenantry_feed"),
    ):
        with redis.Redis.from_url(url) as client:
            assert channel_of(client, FEED_CHANNEL) == name


def test_the_setting_names_the_carrier(broker: Broker) -> None:
    by_notify = broker.settings.model_copy(update={"hints": HintCarrier.POSTGRES})

    assert isinstance(hint_sender(broker.settings)._carrier, RedisCarrier)
    assert not isinstance(hint_sender(by_notify)._carrier, RedisCarrier)
    assert settings().hints is HintCarrier.POSTGRES


def test_a_feed_that_listens_to_redis_wakes_the_watchers_that_match(broker: Broker) -> None:
    with running_feed(broker) as (feed, [watcher]), sending(broker) as (sender, _):
        wait_until(lambda: woken(watcher))  # it may have read before the feed listened
        watcher._woken.clear()
        with feed.watch("forge") as other:
            sender([Hint(FEED_CHANNEL, "acme shop event")])
            wait_until(lambda: woken(watcher))
            assert not woken(other)


def test_a_flush_of_redis_ends_no_subscription(broker: Broker) -> None:
    with running_feed(broker) as (_, [watcher]), sending(broker) as (sender, _):
        wait_until(lambda: woken(watcher))
        watcher._woken.clear()
        broker.client.flushall()
        sender([Hint(FEED_CHANNEL, "acme shop event")])
        wait_until(lambda: woken(watcher))


def test_a_feed_polls_while_redis_is_away_and_listens_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed_module, "RECONNECT_AFTER", 0.05)
    monkeypatch.setattr(redis_hints, "PAUSE_AFTER_ERROR", 0.0)
    caplog.set_level(logging.INFO)
    marks = iter(range(100))

    async def read_marks(ids: Any) -> dict[str, str]:
        return {str(id_): str(next(marks)) for id_ in ids}

    with running_feed(broker) as (feed, [watcher]), sending(broker) as (sender, otherwise):
        wait_until(lambda: woken(watcher))
        broker.child.stop()
        wait_until(lambda: "change feed lost its connection, polling" in caplog.text)
        watcher._woken.clear()
        tenant = uuid4()
        with feed.watch(str(tenant)) as polled:
            asyncio.run(feed.poll_once(read_marks))
            assert woken(polled)
        sender([Hint(FEED_CHANNEL, "acme shop event"), cancel_hint(tenant)])
        wait_until(lambda: bool(otherwise.sent))
        watcher._woken.clear()

        broker.restart()

        wait_until(lambda: woken(watcher))  # what was lost meanwhile is read
        watcher._woken.clear()
        sender([Hint(FEED_CHANNEL, "acme shop event")])
        wait_until(lambda: woken(watcher))
    assert caplog.text.count("change feed lost its connection") == 1
    assert caplog.text.count("hints not sent by Redis") == 1
    assert "change feed listens again" in caplog.text


@pytest.mark.parametrize("state", ["away", "slow"])
def test_a_command_does_not_wait_for_a_redis_that_is_away_or_slow(
    broker: Broker, harness: RunHarness, state: str
) -> None:
    with sending(broker) as (sender, otherwise):
        harness.database.hint = sender
        if state == "away":
            broker.child.stop()
        else:
            broker.child.process.send_signal(signal.SIGSTOP)
        try:
            harness.create()
            harness.claim()
            began = time.monotonic()
            harness.cancel()
            took = time.monotonic() - began
            wait_until(lambda: cancel_hint(harness.run().id) in otherwise.sent)
        finally:
            broker.child.process.send_signal(signal.SIGCONT) if state == "slow" else broker.restart()

    assert took < redis_hints.TIMEOUT


def test_a_worker_hears_cancels_over_redis_and_renews_after_a_reconnect(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_hints, "BACK_OFF_AFTER_FAILURE", 0.05)
    monkeypatch.setattr(redis_hints, "LONGEST_LISTEN", 0.05)
    database, running_steps, renewals = Database(settings()), RunningSteps(), list[float]()
    heartbeat = Heartbeat(database, running_steps, settings())
    monkeypatch.setattr(heartbeat, "renew", lambda: renewals.append(time.monotonic()))
    listener = RedisCancelListener(broker.settings, running_steps, heartbeat)
    listener.start()
    runs = [uuid4() for _ in range(20)]
    try:
        wait_until(lambda: broker.listeners(CANCEL_CHANNEL) == 1 and len(renewals) == 1)
        with sending(broker) as (sender, otherwise):
            sender([Hint(CANCEL_CHANNEL, "noise"), *(cancel_hint(run) for run in runs)])
            wait_until(lambda: set(runs) <= set(running_steps._cancelled))
        assert otherwise.sent == []
        broker.child.stop()
        broker.restart()
        wait_until(lambda: len(renewals) == 2)
    finally:
        listener.stop()
        database.close()
    assert not listener._thread.is_alive()
