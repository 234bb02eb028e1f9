"""The broker, Redis. It carries wake-ups only, so it may lose or duplicate messages."""

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries, TimeLimit
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.settings import Settings

FORWARD_QUEUE = "steps"
COMPENSATION_QUEUE = "compensations"
"""A separate queue with separate threads, so that a backlog of steps cannot delay a cancel."""

NAMESPACE = "tenantry"

MESSAGE_TIME_LIMIT = 60 * 60 * 1000
"""Milliseconds. Steps and leases limit each attempt; this limit frees a thread that hangs in spite of them."""

CONSUMER_TIMEOUT = 2.0
"""Seconds that a worker waits for the broker when it polls its queue."""


def redis_broker(settings: Settings, *, timeout: float = CONSUMER_TIMEOUT, retries: int = 1) -> RedisBroker:
    """Create a broker without retries of its own: Postgres decides whether a move is retried."""
    return RedisBroker(  # type: ignore[no-untyped-call]  # Dramatiq leaves this constructor without annotations
        client=redis_client(settings, timeout, retries),
        middleware=[TimeLimit(time_limit=MESSAGE_TIME_LIMIT), Retries(max_retries=0)],
        namespace=NAMESPACE,
    )


def redis_client(settings: Settings, timeout: float, retries: int) -> redis.Redis:
    """Create a client. Its calls time out after ``timeout`` seconds and are then retried ``retries`` times."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), retries),
    )
