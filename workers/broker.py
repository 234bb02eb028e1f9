"""The broker: Redis carries hints, so it may lose or double any of them."""

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries, TimeLimit
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.settings import Settings

FORWARD_QUEUE = "steps"
COMPENSATION_QUEUE = "compensations"
"""Its own queue, with threads of its own: a backlog of forward work cannot delay a cancel."""

NAMESPACE = "tenantry"

MESSAGE_TIME_LIMIT = 60 * 60 * 1000
"""Milliseconds. Attempts are bounded by their steps and by leases; this frees a thread that hangs all the same."""

CONSUMER_TIMEOUT = 2.0
"""Seconds that a worker waits for the server when it looks for work."""


def redis_broker(settings: Settings, *, timeout: float = CONSUMER_TIMEOUT, retries: int = 1) -> RedisBroker:
    """A broker without retries of its own: whether a move is tried again is decided in Postgres."""
    return RedisBroker(  # type: ignore[no-untyped-call]  # Dramatiq leaves this constructor without annotations
        client=redis_client(settings, timeout, retries),
        middleware=[TimeLimit(time_limit=MESSAGE_TIME_LIMIT), Retries(max_retries=0)],
        namespace=NAMESPACE,
    )


def redis_client(settings: Settings, timeout: float, retries: int) -> redis.Redis:
    """A client that gives up on a silent server after ``timeout`` seconds, and then tries so many times more."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), retries),
    )
