"""The broker, Redis. It carries wake-ups only, so it may lose or duplicate messages."""

import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, PriorityQueue
from typing import Any

import dramatiq
import redis
from dramatiq import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer, _scripts
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware, Retries, TimeLimit
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.settings import Settings, SettingsRefused

FORWARD_QUEUE = "steps"
COMPENSATION_QUEUE = "compensations"
"""A separate queue with separate threads, so that a backlog of steps cannot delay a cancel."""

NAMESPACE = "tenantry"

MESSAGE_TIME_LIMIT = 60 * 60 * 1000
"""Milliseconds. Steps and leases limit each attempt; this limit frees a thread that hangs in spite of them."""

CONSUMER_TIMEOUT = 15.0
"""Seconds that a worker waits for the broker when it fetches messages. A broker that stalls for some seconds answers
the fetch when it is back, so that no message gets lost. A dead connection is found earlier, by TCP."""

LONGEST_WAIT = 2.0
"""Seconds that a consumer waits for the bell of an empty queue. Then it fetches without a ring: a worker that took the
ring may have died, and a process of an earlier release does not ring."""

MAX_RINGS = 64
"""Rings that wait for a consumer. Busy consumers fetch without taking rings; each superfluous one costs one fetch."""

RING = f"""
if command == "enqueue" or command == "requeue" then
    local bell = queue_full_name .. ".bell"
    for _ = 1, command == "enqueue" and 1 or #ARGS do
        redis.call("rpush", bell, "1")
    end
    redis.call("ltrim", bell, 0, {MAX_RINGS - 1})
end
""".encode()
"""Added to the end of Dramatiq's script: each message that enters a queue wakes one consumer that waits. The ring is
kept until a consumer takes it, so a message that is sent between a fetch and a wait is not missed."""

CONNECT_TIMEOUT = 2.0
"""Seconds."""

POLL_DURING_OUTAGE = 0.25
"""Seconds between two polls of a broker that is unavailable."""

PAUSE_WHILE_STOPPING = 0.02
"""Seconds until Dramatiq checks again whether its consumer thread should end."""

STOP_KEY_EXPIRY = 60
"""Seconds."""

TCP_KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3}

logger = logging.getLogger(__name__)


class OutageLog:
    """Logs one line when the broker becomes unavailable and one when it is back, for all its users together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    def unavailable(self, error: Exception) -> None:
        """Note a failed call."""
        with self._lock:
            first, self._since = self._since is None, self._since or time.monotonic()
        if first:
            logger.warning("broker unavailable", extra={"cause": str(error) or type(error).__name__})

    def available(self) -> None:
        """Note a call that succeeded."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            logger.info("broker is back", extra={"seconds": round(time.monotonic() - since, 1)})


class PatientConsumer(_RedisConsumer):
    """Waits for messages without polling. Continues while the broker is unavailable.

    Dramatiq would log a traceback then, wait, and build a new consumer. An acknowledgement that is lost is not
    repeated: its message is delivered again later, and finds nothing to claim.
    """

    broker: "PatientBroker"

    def __init__(self, broker: "PatientBroker", queue_name: str, prefetch: int) -> None:
        # A timeout of zero: Dramatiq does not sleep after a fetch of nothing, because the next call waits.
        super().__init__(broker, queue_name, prefetch, 0)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here
        self._bell = f"{broker.namespace}:{queue_name}.bell"
        self._slot_freed = threading.Event()

    def __next__(self) -> "MessageProxy | None":
        if self.broker.stopping:
            time.sleep(PAUSE_WHILE_STOPPING)
            return None
        if self._is_full():
            self._slot_freed.wait(self.broker.longest_wait)
            self._slot_freed.clear()
            return None
        try:
            message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]  # the same
            if message is None:
                self._wait_for_ring()
        except (ConnectionClosed, redis.RedisError) as error:
            self.broker.outage_log.unavailable(error)
            time.sleep(POLL_DURING_OUTAGE)
            return None
        self.broker.outage_log.available()
        return message

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge the message if the broker is available."""
        with self._if_available():
            super().ack(message)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here
        self._slot_freed.set()

    def nack(self, message: MessageProxy) -> None:
        """Reject the message if the broker is available."""
        with self._if_available():
            super().nack(message)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here
        self._slot_freed.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages to their queue if the broker is available: the sweeper sends lost ones again."""
        with self._if_available():
            super().requeue(messages)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here

    def _is_full(self) -> bool:
        """Whether the threads have as many messages as they may have, so that none is fetched."""
        return not self.message_cache and self.outstanding_message_count >= self.prefetch

    def _wait_for_ring(self) -> None:
        """Wait until a message enters the queue or the worker stops, at most LONGEST_WAIT."""
        rung = self.broker.client.blpop([self.broker.stop_key, self._bell], timeout=self.broker.longest_wait)
        if rung and self.broker.stopping:
            self.broker.client.rpush(self._bell, "1")  # for another worker

    @contextmanager
    def _if_available(self) -> Iterator[None]:
        """Within the block, an unavailable broker is noted, and is no error."""
        try:
            yield
        except (ConnectionClosed, redis.RedisError) as error:
            self.broker.outage_log.unavailable(error)


class PatientBroker(RedisBroker):
    """A broker with patient consumers, which share one log of outages. Messages that it sends ring the queue's bell.

    It has no queues of delayed messages: due times are in Postgres.
    """

    def __init__(self, client: redis.Redis, timeout: float, middleware: list[Middleware]) -> None:
        super().__init__(client=client, middleware=middleware, namespace=NAMESPACE)  # type: ignore[no-untyped-call]  # Dramatiq leaves this without annotations
        self.scripts["dispatch"] = client.register_script(_scripts["dispatch"] + RING)
        self.outage_log = OutageLog()
        self.longest_wait = min(LONGEST_WAIT, timeout / 2)
        self.stop_key = f"{NAMESPACE}:stop.{self.broker_id}"
        self.stopping = False

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> PatientConsumer:  # noqa: ARG002  # Dramatiq's signature
        """Create a consumer for a queue."""
        return PatientConsumer(self, queue_name, prefetch)

    def stop_consuming(self) -> threading.Thread:
        """Fetch no more messages, and end the wait of a consumer. Returns the thread that does it."""
        self.stopping = True
        # In another thread: a broker that hangs does not delay the end of the steps.
        ending = threading.Thread(target=self._end_wait, name="end of waiting", daemon=True)
        ending.start()
        return ending

    def _end_wait(self) -> None:
        with (
            suppress(redis.RedisError),
            self.client.pipeline(transaction=False) as pipeline,
        ):  # then the wait ends in an error too
            pipeline.rpush(self.stop_key, *["1"] * max(1, len(self.queues)))
            pipeline.expire(self.stop_key, STOP_KEY_EXPIRY)
            pipeline.execute()


class _WorkQueue(PriorityQueue[Any]):
    """The messages of a worker's threads. A thread waits without polling until there is one, or until ``close``."""

    closed = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002, FBT001, FBT002  # the signature of the base class
        """Take the first message. Raises Empty when there is none after ``close``."""
        with self.not_empty:
            if block:
                self.not_empty.wait_for(lambda: self._qsize() or self.closed)
            if not self._qsize():
                raise Empty
            self.not_full.notify()
            return self._get()

    def close(self) -> None:
        """End every wait."""
        with self.mutex:
            self.closed = True
            self.not_empty.notify_all()


class Worker(dramatiq.Worker):
    """A Dramatiq worker that does nothing while it is idle, and stops at once then."""

    broker: PatientBroker

    def __init__(self, broker: PatientBroker, threads: int) -> None:
        super().__init__(broker, worker_threads=threads)
        self.queue_prefetch = threads
        self.work_queue = self._messages = _WorkQueue()

    def stop(self, timeout: int = 600_000) -> None:
        """Stop the threads after their current messages, at most ``timeout`` milliseconds later."""
        for thread in self.workers:
            thread.stop()
        self._messages.close()
        ending = self.broker.stop_consuming()
        super().stop(timeout)
        ending.join(LONGEST_WAIT)  # the caller may close the client after this


def redis_broker(settings: Settings, *, timeout: float = CONSUMER_TIMEOUT, retries: int = 1) -> PatientBroker:
    """Create a broker without retries of its own: Postgres decides whether a move is retried."""
    return PatientBroker(
        redis_client(settings, timeout, retries),
        timeout,
        [TimeLimit(time_limit=MESSAGE_TIME_LIMIT), Retries(max_retries=0)],
    )


def redis_client(settings: Settings, timeout: float, retries: int) -> redis.Redis:
    """Create a client. Its calls time out after ``timeout`` seconds.

    On a connection that was lost they are repeated ``retries`` times; after a timeout they are not. Raises
    SettingsRefused for a parameter in the address that the client cannot use.
    """
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": min(timeout, CONNECT_TIMEOUT)}
    if not settings.redis_url.startswith("unix:"):
        options |= {"socket_keepalive": True, "socket_keepalive_options": TCP_KEEPALIVE}
    retry = Retry(NoBackoff(), retries, supported_errors=(redis.ConnectionError,))
    try:
        client = redis.Redis.from_url(settings.redis_url, retry=retry, **options)
        client.connection_pool.make_connection()  # does not connect yet
    except Exception:  # noqa: BLE001  # the library raises errors of many kinds for one mistake
        # Its message may quote the value of a parameter, which may be a password.
        raise SettingsRefused(
            "Invalid value for TENANTRY_REDIS_URL: has a parameter that redis-py does not know, or a value that it "
            "cannot read."
        ) from None
    return client
