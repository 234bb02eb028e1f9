"""Idle workers wait without polling: each message wakes one of them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import dramatiq
import psycopg
import pytest
import redis
from dramatiq import MessageProxy

from provisioning.events import CANCEL_CHANNEL
from runtime.database import Database
from runtime.settings import settings
from tests.waiting import wait_until
from workers import broker as broker_module
from workers.broker import PatientBroker, PatientConsumer, Worker, redis_broker
from workers.cancel_listener import CancelListener
from workers.heartbeat import IDLE_TICK, TICK, Heartbeat
from workers.presence import Presence
from workers.running_steps import RunningSteps

NOT_WOKEN = 6.0
AT_ONCE = 3.0
"""Seconds. A consumer that is not woken takes twice as long, which is longer than in the product, for busy machines."""


@pytest.fixture
def queue(redis_url: str) -> Iterator[str]:
    yield f"queue-{uuid4().hex}"
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()


@pytest.fixture
def broker(redis_url: str) -> Iterator[PatientBroker]:
    created = redis_broker(settings())
    created.longest_wait = NOT_WOKEN
    yield created
    created.client.close()


def send(broker: PatientBroker, queue: str, text: str = "hello") -> None:
    broker.enqueue(dramatiq.Message(queue_name=queue, actor_name="receive", args=(text,), kwargs={}, options={}))


def receive(consumer: PatientConsumer, attempts: int = 2) -> MessageProxy | None:
    """The next message. Dramatiq calls a consumer again after each wait."""
    for _ in range(attempts):
        if (message := next(consumer)) is not None:
            return message
    return None


def seconds_of(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def await_blocked(broker: PatientBroker, clients: int = 1) -> None:
    """Wait until so many consumers wait for a ring."""
    wait_until(lambda: broker.client.info("clients")["blocked_clients"] >= clients)


def test_a_message_that_is_sent_between_the_fetch_and_the_wait_is_received_at_once(
    broker: PatientBroker, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, fetch = broker.consume(queue, prefetch=1), broker.do_fetch
    sender = redis_broker(settings())

    def fetch_then_send(*arguments: Any) -> Any:
        found = fetch(*arguments)
        if not found:
            send(sender, queue)
        return found

    monkeypatch.setattr(broker, "do_fetch", fetch_then_send, raising=False)
    began = time.monotonic()
    message = receive(consumer)

    assert message is not None
    assert time.monotonic() - began < AT_ONCE


def test_each_message_wakes_one_of_several_consumers(broker: PatientBroker, queue: str) -> None:
    consumers = [broker.consume(queue, prefetch=1) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        receiving = [pool.submit(receive, consumer) for consumer in consumers]
        await_blocked(broker, clients=3)
        began = time.monotonic()
        for text in ("one", "two", "three"):
            send(broker, queue, text)
        received = [future.result(10) for future in receiving]

    assert sorted(message.args[0] for message in received if message) == ["one", "three", "two"]
    assert time.monotonic() - began < AT_ONCE


def test_messages_that_a_worker_returns_wake_others(broker: PatientBroker, queue: str) -> None:
    stopping, waiting = broker.consume(queue, prefetch=2), broker.consume(queue, prefetch=2)
    for text in ("one", "two"):
        send(broker, queue, text)
    fetched = [receive(stopping), receive(stopping)]
    broker.client.delete(f"{broker.namespace}:{queue}.bell")

    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(receive, waiting)
        await_blocked(broker)
        began = time.monotonic()
        stopping.requeue([message for message in fetched if message])
        message = receiving.result(10)

    assert message is not None
    assert time.monotonic() - began < AT_ONCE


def test_a_message_without_a_ring_is_found_by_the_next_fetch(
    broker: PatientBroker, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the release before this one sends no ring."""
    monkeypatch.setattr(broker, "longest_wait", 0.1)
    consumer = broker.consume(queue, prefetch=1)
    send(broker, queue)
    broker.client.delete(f"{broker.namespace}:{queue}.bell")

    assert receive(consumer, attempts=1) is not None


def test_rings_that_no_consumer_takes_do_not_pile_up(
    broker: PatientBroker, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(broker_module.MAX_RINGS + 10):
        send(broker, queue)

    assert broker.client.llen(f"{broker.namespace}:{queue}.bell") == broker_module.MAX_RINGS


def test_a_full_consumer_fetches_as_soon_as_a_thread_is_free(
    broker: PatientBroker, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = broker.consume(queue, prefetch=1)
    for text in ("one", "two"):
        send(broker, queue, text)
    first, waiting, wait = receive(consumer), threading.Event(), consumer._slot_freed.wait
    assert first is not None

    def note_wait(timeout: float | None) -> bool:
        waiting.set()
        return wait(timeout)

    monkeypatch.setattr(consumer._slot_freed, "wait", note_wait)
    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(receive, consumer, attempts=3)
        assert waiting.wait(10)
        began = time.monotonic()
        consumer.ack(first)
        second = receiving.result(10)

    assert second is not None
    assert time.monotonic() - began < AT_ONCE


@contextmanager
def working(broker: PatientBroker, queue: str, act: Callable[[str], None]) -> Iterator[Worker]:
    dramatiq.actor(broker=broker, queue_name=queue, actor_name="receive")(act)
    worker = Worker(broker, threads=3)
    worker.start()
    await_blocked(broker)
    yield worker
    worker.stop(2000)


def test_an_idle_worker_stops_at_once(broker: PatientBroker, queue: str) -> None:
    with working(broker, queue, lambda _: None) as worker:
        stopped = seconds_of(lambda: worker.stop(10_000))

    assert stopped < AT_ONCE


def test_a_worker_that_stops_leaves_new_messages_to_others(broker: PatientBroker, queue: str, redis_url: str) -> None:
    began, finish, received = threading.Event(), threading.Event(), list[str]()

    def act(text: str) -> None:
        received.append(text)
        began.set()
        finish.wait(10)

    other = redis_broker(settings()).consume(queue, prefetch=1)
    with working(broker, queue, act) as worker:
        send(broker, queue, "in progress")
        assert began.wait(10)
        stopping = threading.Thread(target=worker.stop, args=(10_000,))
        stopping.start()
        wait_until(lambda: broker.stopping)
        send(other.broker, queue, "new")
        message = receive(other)
        finish.set()
        stopping.join(10)

    assert message is not None
    assert message.args == ("new",)
    assert received == ["in progress"]


def test_the_heartbeat_ticks_rarely_while_no_step_is_running(database_url: str) -> None:
    heartbeat = Heartbeat(Database(settings()), RunningSteps(), settings())

    assert heartbeat.run_once() == min(IDLE_TICK, settings().lease_renewal.total_seconds() / 4) > TICK


@pytest.fixture
def listener(database_url: str) -> Iterator[tuple[CancelListener, RunningSteps]]:
    database, running_steps = Database(settings()), RunningSteps()
    presence = Presence()
    started = CancelListener(database, running_steps, Heartbeat(database, running_steps, settings()), presence)
    started.start()
    wait_until(lambda: presence.age > 0)
    yield started, running_steps
    started.stop()


def test_the_cancel_listener_stops_at_once(database_url: str) -> None:
    database, running_steps, presence = Database(settings()), RunningSteps(), Presence()
    listener = CancelListener(database, running_steps, Heartbeat(database, running_steps, settings()), presence)
    listener.start()
    wait_until(lambda: presence.age > 0)

    assert seconds_of(listener.stop) < 1.0
    assert not listener._thread.is_alive()


def test_every_cancel_that_is_notified_is_received(
    listener: tuple[CancelListener, RunningSteps], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, running_steps = listener
    runs = [uuid4() for _ in range(20)]

    with psycopg.connect(database_url, autocommit=True) as connection:
        for run in runs:
            connection.execute("SELECT pg_notify(%s, %s)", [CANCEL_CHANNEL, str(run)])

    wait_until(lambda: set(runs) <= set(running_steps._cancelled))


def test_a_cancel_that_arrives_while_the_listener_starts_is_received(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notification comes with the answer to a statement, so that the socket has nothing more to read."""
    database, running_steps, run = Database(settings()), RunningSteps(), uuid4()
    heartbeat = Heartbeat(database, running_steps, settings())
    listener = CancelListener(database, running_steps, heartbeat, Presence())
    listen = database.listen

    def listen_and_be_notified() -> Any:
        connection = listen()
        connection.execute(f"LISTEN {CANCEL_CHANNEL}")
        connection.execute("SELECT pg_notify(%s, %s)", [CANCEL_CHANNEL, str(run)])
        return connection

    monkeypatch.setattr(database, "listen", listen_and_be_notified)
    listener.start()
    try:
        wait_until(lambda: run in running_steps._cancelled, within=2)
    finally:
        listener.stop()
