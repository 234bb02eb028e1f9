"""Hints over Redis: one message for many, none where nothing listens, and no harm while Redis is away or slow."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy.exc import OperationalError

from devserver import directories
from devserver.processes import Child
from devserver.servers import Valkey
from models import StepStatus
from provisioning.events import CANCEL_CHANNEL, FEED_CHANNEL, cancel_hint, feed_hint
from provisioning.step_context import StopReason
from runtime import feed as feed_module
from runtime.feed import Feed, Watcher
from runtime.hints import Hint, HintSender
from runtime.settings import HintCarrier, Settings, settings
from tests.hint_carriers import KeepingCarrier
from tests.run_harness import RunHarness, recorded_statements
from tests.waiting import wait_until
from workers import redis_hints
from workers.heartbeat import Heartbeat
from workers.redis_hints import ASKED_TOGETHER, RedisCancelListener, RedisCarrier, change_feed, channel_of, hint_sender
from workers.running_steps import RunningSteps


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
def sending(broker: Broker) -> Iterator[tuple[HintSender, KeepingCarrier]]:
    notified = KeepingCarrier()
    sender = HintSender(RedisCarrier(broker.settings, notified))
    try:
        yield sender, notified
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
    with listening(broker, FEED_CHANNEL) as heard, sending(broker) as (sender, notified):
        for number in range(500):
            sender([Hint(FEED_CHANNEL, f"acme {number} event")])
        wait_until(lambda: sum(len(message.splitlines()) for message in heard) == 500)

        assert [line for message in heard for line in message.splitlines()] == [
            f"acme {number} event" for number in range(500)
        ]
        assert broker.publishes() == len(heard) < 100
    assert notified.sent == []


def test_the_hints_of_one_commit_are_one_message(broker: Broker) -> None:
    organisation, tenants = uuid4(), [uuid4(), uuid4()]
    with listening(broker, FEED_CHANNEL) as heard, sending(broker) as (sender, _):
        sender([feed_hint(organisation, tenant) for tenant in tenants])
        wait_until(lambda: bool(heard))

    assert heard == [f"{organisation} {tenants[0]} event\n{organisation} {tenants[1]} event"]
    assert broker.publishes() == 1


def test_nothing_is_published_where_nothing_listens(broker: Broker) -> None:
    with sending(broker) as (sender, notified):
        sender([Hint(FEED_CHANNEL, "acme shop event"), cancel_hint(uuid4())])
        wait_until(lambda: bool(notified.sent))

    assert broker.publishes() == 0
    assert [hint.channel for hint in notified.sent] == [CANCEL_CHANNEL]


def test_a_cancel_goes_by_notify_as_well_although_a_worker_heard_it(broker: Broker) -> None:
    """The worker that heard it may be another one than the owner of the run."""
    run = uuid4()
    with listening(broker, CANCEL_CHANNEL) as heard, sending(broker) as (sender, notified):
        sender([Hint(FEED_CHANNEL, "acme shop event"), cancel_hint(run)])
        wait_until(lambda: heard and notified.sent)

    assert heard == [str(run)]
    assert notified.sent == [cancel_hint(run)]


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

    with running_feed(broker) as (feed, [watcher]), sending(broker) as (sender, notified):
        wait_until(lambda: woken(watcher))
        broker.child.stop()
        wait_until(lambda: "change feed lost its connection, polling" in caplog.text)
        watcher._woken.clear()
        tenant = uuid4()
        with feed.watch(str(tenant)) as polled:
            asyncio.run(feed.poll_once(read_marks))
            assert woken(polled)
        sender([Hint(FEED_CHANNEL, "acme shop event"), cancel_hint(tenant)])
        wait_until(lambda: bool(notified.sent))
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
    with sending(broker) as (sender, notified):
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
            wait_until(lambda: cancel_hint(harness.run().id) in notified.sent)
        finally:
            broker.child.process.send_signal(signal.SIGCONT) if state == "slow" else broker.restart()

    assert took < redis_hints.TIMEOUT


@dataclass
class Listener:
    """The cancel listener of a worker process, with a count of the renewals that it asked for."""

    running_steps: RunningSteps
    thread: RedisCancelListener
    renewals: list[float]

    def hears(self, broker: Broker, payload: str | bytes, then: UUID) -> None:
        """Send a message of this payload, and wait until a later message, of a true cancel, was received."""
        for message in (payload, str(then)):
            broker.client.publish(channel_of(broker.client, CANCEL_CHANNEL), message)
        wait_until(lambda: then in self.running_steps._cancelled)


@pytest.fixture
def listener(broker: Broker, harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(redis_hints, "BACK_OFF_AFTER_FAILURE", 0.05)
    monkeypatch.setattr(redis_hints, "LONGEST_LISTEN", 0.05)
    running_steps, renewals = RunningSteps(), list[float]()
    heartbeat = Heartbeat(harness.database, running_steps, settings())
    monkeypatch.setattr(heartbeat, "renew", lambda: renewals.append(time.monotonic()))
    thread = RedisCancelListener(broker.settings, harness.database, running_steps, heartbeat)
    thread.start()
    wait_until(lambda: broker.listeners(CANCEL_CHANNEL) == 1 and len(renewals) == 1)
    yield Listener(running_steps, thread, renewals)
    thread.stop()
    assert not thread._thread.is_alive()


def cancelled_run(harness: RunHarness, slug: str = "cancelled") -> UUID:
    """A run with a cancel on record. A worker still owns its step."""
    harness.create(slug)
    harness.claim()
    harness.cancel()
    return harness.run().id


def test_a_worker_hears_cancels_over_redis_and_renews_after_a_reconnect(
    broker: Broker, harness: RunHarness, listener: Listener
) -> None:
    runs = [cancelled_run(harness, f"shop-{number}") for number in range(3)]
    with sending(broker) as (sender, _):
        sender([Hint(CANCEL_CHANNEL, "noise"), *(cancel_hint(run) for run in runs)])
        wait_until(lambda: set(runs) == set(listener.running_steps._cancelled))
    broker.child.stop()
    broker.restart()
    wait_until(lambda: len(listener.renewals) == 2)


def test_a_forged_cancel_stops_nothing_and_costs_no_attempt_and_a_true_one_stops_at_once(
    broker: Broker, harness: RunHarness, listener: Listener
) -> None:
    cancelled = cancelled_run(harness)
    harness.create("attacked")
    claim = harness.claim()
    assert claim.interruptible
    with listener.running_steps.performing(claim) as stop_signal:
        listener.hears(broker, str(claim.run_id), then=cancelled)
        assert stop_signal.reason is None
        harness.record(claim, harness.perform(claim, stop_signal))
    assert harness.steps()[0].status is StepStatus.DONE
    assert harness.steps()[0].attempts == 1

    claim = harness.claim()
    with listener.running_steps.performing(claim) as stop_signal:
        harness.cancel()
        broker.client.publish(channel_of(broker.client, CANCEL_CHANNEL), str(claim.run_id))
        wait_until(lambda: stop_signal.reason is StopReason.CANCELLED, within=2)


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfe\x00\n\n'; DROP TABLE runs; --\n" + b"x" * 100_000, "\n".join(str(uuid4()) for _ in range(10_000))],
    ids=["rubbish", "10,000 runs"],
)
def test_what_a_forged_message_contains_does_no_harm(
    broker: Broker,
    harness: RunHarness,
    listener: Listener,
    payload: str | bytes,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled = cancelled_run(harness)

    with recorded_statements(harness, monkeypatch) as statements:
        listener.hears(broker, payload, then=cancelled)

    assert list(listener.running_steps._cancelled) == [cancelled]
    assert len(statements) == (1 if isinstance(payload, bytes) else 10_000 // ASKED_TOGETHER + 1)
    assert len(listener.renewals) == 1
    assert caplog.text == ""


def test_a_cancel_that_cannot_be_read_is_left_to_the_next_renewal(
    broker: Broker,
    harness: RunHarness,
    listener: Listener,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled, execute = cancelled_run(harness), harness.database.execute

    def fail_once(*_: object) -> list[UUID]:
        monkeypatch.setattr(harness.database, "execute", execute)
        raise OperationalError("SELECT", {}, Exception("Postgres is away"))

    monkeypatch.setattr(harness.database, "execute", fail_once)

    listener.hears(broker, str(uuid4()), then=cancelled)

    assert "cancels not read, the next renewal finds them" in caplog.text
    assert len(listener.renewals) == 1
