"""The broker, Redis. It carries wake-ups only, so it may lose or duplicate messages."""

import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from dramatiq import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Retries, TimeLimit
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
"""Seconds that a worker waits for the broker when it polls its queue. A broker that stalls for some seconds answers the
poll when it is back, so that no message gets lost. A dead connection is found earlier, by TCP."""

CONNECT_TIMEOUT = 2.0
"""Seconds."""

POLL_DURING_OUTAGE = 0.25
"""Seconds between two polls of a broker that is unavailable."""

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
    """Polls on while the broker is unavailable. Dramatiq would log a traceback, wait, and build a new consumer.

    An acknowledgement that is lost is not repeated: its message is delivered again later, and finds nothing to claim.
    """

    outage_log: OutageLog

    def __next__(self) -> "MessageProxy | None":
        try:
            message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here
        except (ConnectionClosed, redis.RedisError) as error:
            self.outage_log.unavailable(error)
            time.sleep(POLL_DURING_OUTAGE)
            return None
        self.outage_log.available()
        return message

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge the message if the broker is available."""
        with self._if_available():
            super().ack(message)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here

    def nack(self, message: MessageProxy) -> None:
        """Reject the message if the broker is available."""
        with self._if_available():
            super().nack(message)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages to their queue if the broker is available: the sweeper sends lost ones again."""
        with self._if_available():
            super().requeue(messages)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here

    @contextmanager
    def _if_available(self) -> Iterator[None]:
        """Within the block, an unavailable broker is noted, and is no error."""
        try:
            yield
        except (ConnectionClosed, redis.RedisError) as error:
            self.outage_log.unavailable(error)


class PatientBroker(RedisBroker):
    """A broker with patient consumers, which share one log of outages."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # the library's options
        super().__init__(**options)  # type: ignore[no-untyped-call]  # Dramatiq leaves this without annotations
        self.outage_log = OutageLog()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> PatientConsumer:
        """Create a consumer for a queue."""
        consumer = PatientConsumer(self, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here
        consumer.outage_log = self.outage_log
        return consumer


def redis_broker(settings: Settings, *, timeout: float = CONSUMER_TIMEOUT, retries: int = 1) -> PatientBroker:
    """Create a broker without retries of its own: Postgres decides whether a move is retried."""
    return PatientBroker(
        client=redis_client(settings, timeout, retries),
        middleware=[TimeLimit(time_limit=MESSAGE_TIME_LIMIT), Retries(max_retries=0)],
        namespace=NAMESPACE,
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
