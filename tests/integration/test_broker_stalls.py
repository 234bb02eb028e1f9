"""A broker that accepts connections and then stalls: one line in the log, and no lost second beyond the stall."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import dramatiq
import pytest
import redis

from provisioning.moves import Forward
from provisioning.wakeups import WakeUp
from runtime.settings import Settings, settings
from tests.conformance.field.relay import Relay
from tests.waiting import wait_until
from workers import broker as broker_module
from workers.broker import Worker, redis_broker
from workers.dispatcher import Dispatcher

QUEUE = "steps"
Sender = dramatiq.Actor[[str], None]


@pytest.fixture
def relay(redis_url: str, tmp_path: Path) -> Iterator[Relay]:
    with Relay(Path(urlsplit(redis_url).path), tmp_path / "relay.sock") as running:
        yield running


@pytest.fixture
def relayed(relay: Relay, redis_url: str) -> Settings:
    return settings().model_copy(update={"redis_url": f"unix://{relay.socket_path}?{urlsplit(redis_url).query}"})


@contextmanager
def consuming(
    relayed: Settings, redis_url: str, timeout: float
) -> Iterator[tuple[dramatiq.Actor[[str], None], list[str]]]:
    """A worker behind the relay. The actor sends past the relay, as another process does."""
    received: list[str] = []
    consumer = redis_broker(relayed, timeout=timeout)
    sender = redis_broker(settings())

    def receive(text: str) -> None:
        received.append(text)

    dramatiq.actor(broker=consumer, queue_name=QUEUE)(receive)
    actor = dramatiq.actor(broker=sender, queue_name=QUEUE)(receive)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    worker = Worker(consumer, threads=2)
    worker.start()
    try:
        actor.send("before")
        wait_until(lambda: received == ["before"])
        yield actor, received
    finally:
        worker.stop(2000)
        consumer.client.close()
        sender.client.close()


def problems(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_stall_within_the_timeout_loses_nothing_and_says_nothing(
    relay: Relay, relayed: Settings, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with consuming(relayed, redis_url, timeout=10.0) as (actor, received):
        relay.hang()
        actor.send("during")
        assert not threading.Event().wait(1.0), "the stall has to last a while"
        relay.restore()
        restored = time.monotonic()
        wait_until(lambda: "during" in received)

    assert time.monotonic() - restored < 5.0
    assert received == ["before", "during"]
    assert problems(caplog) == []


def test_a_stall_beyond_the_timeout_is_one_line_and_the_next_message_is_received_at_once(
    relay: Relay, relayed: Settings, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "workers.broker")
    with consuming(relayed, redis_url, timeout=0.2) as (actor, received):
        forwarded = relay.connections
        relay.hang()
        wait_until(lambda: relay.connections >= forwarded + 3)  # it has timed out and connected again, several times
        relay.restore()
        restored = time.monotonic()
        wait_until(lambda: any(record.message == "broker is back" for record in caplog.records), within=5)
        back = time.monotonic() - restored
        actor.send("after")
        wait_until(lambda: "after" in received, within=5)

    assert back < 1.0 + broker_module.POLL_DURING_OUTAGE
    assert problems(caplog) == [("WARNING", "broker unavailable")]
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


def test_an_acknowledgement_during_a_stall_blocks_no_thread_beyond_it(
    relay: Relay, relayed: Settings, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with consuming(relayed, redis_url, timeout=0.2):
        started, release = threading.Event(), threading.Event()
        consumer_broker = redis_broker(relayed, timeout=0.2)

        def hold(_: str) -> None:
            started.set()
            release.wait(10)

        dramatiq.actor(broker=consumer_broker, queue_name="held")(hold)
        worker = Worker(consumer_broker, threads=1)
        worker.start()
        dramatiq.actor(broker=redis_broker(settings()), queue_name="held")(hold).send("one")
        assert started.wait(5)
        relay.hang()
        release.set()
        wait_until(lambda: problems(caplog) != [], within=5)
        relay.restore()
        restored = time.monotonic()
        worker.stop(2000)
        stopped = time.monotonic() - restored
        consumer_broker.client.close()

    assert stopped < 2.5, "Dramatiq would wait five seconds before it repeats an acknowledgement"
    assert {level for level, _ in problems(caplog)} == {"WARNING"}
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


def test_a_dispatcher_logs_a_stall_once_and_sends_again_after_it(
    relay: Relay, relayed: Settings, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Dispatcher(relayed)
    wake_up = WakeUp(uuid4(), Forward("validate_request"))
    relay.hang()
    for _ in range(3):
        sender([wake_up])
        sender._paused_until = 0.0
    relay.restore()

    wait_until(lambda: sender.backlog(QUEUE) is not None, within=2)

    assert problems(caplog) == [("WARNING", "broker unavailable, the sweeper will send the wake-ups again")]
    sender.close()
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
