"""A login of Redis with the rights that docs/operating.md lists is enough, and none of them can be left out."""

import asyncio
import threading
from collections.abc import Iterator
from uuid import uuid4

import dramatiq
import pytest
import redis

from provisioning.moves import Forward
from provisioning.wakeups import WakeUp
from runtime.connection_shares import Holder
from runtime.settings import Settings
from server.limits.rate_limit import RateLimiter
from tests.builders import settings_with
from tests.promises.documents import document
from tests.waiting import wait_until
from workers.broker import FORWARD_QUEUE, Worker, redis_broker
from workers.dispatcher import Dispatcher


def documented_rules() -> list[str]:
    """The rules of the ACL in the section about Redis."""
    section = document("docs/operating.md").section("Redis")
    [line] = [line for line in section.text.splitlines() if line.startswith("ACL SETUSER ")]
    return line.split()[3:]


@pytest.fixture
def admin(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client
        as_admin(client, "ACL", "DELUSER", "tenantry")


def as_admin(client: redis.Redis, *command: str) -> None:
    client.execute_command(*command)  # type: ignore[no-untyped-call]  # the library leaves it without annotations


def limited(redis_url: str, admin: redis.Redis, rules: list[str]) -> Settings:
    """The settings with a login that has these rights only."""
    given = ["on", ">s3cret-of-the-broker", *(rule for rule in rules if rule != "on" and not rule.startswith(">"))]
    as_admin(admin, "ACL", "SETUSER", "tenantry", "reset", *given)
    url = f"{redis_url}&username=tenantry&password=s3cret-of-the-broker"
    return settings_with("postgresql://app@db/tenantry", redis_url=url)


def sends_and_consumes(settings: Settings) -> bool:
    """Whether a wake-up that the dispatcher sends reaches a worker."""
    received = threading.Event()
    broker = redis_broker(settings)
    dispatcher = Dispatcher(settings)

    @dramatiq.actor(broker=broker, queue_name=FORWARD_QUEUE, max_retries=0)
    def run_step(run_id: str, step: str) -> None:
        received.set()

    worker = Worker(broker, threads=1)
    worker.start()
    try:
        dispatcher([WakeUp(uuid4(), Forward("validate_request"))])
        wait_until(received.is_set, within=10)
        return dispatcher.backlog(FORWARD_QUEUE) is not None
    finally:
        worker.stop()
        dispatcher.close()
        broker.close()
        broker.client.close()


def limits_rates(settings: Settings) -> bool:
    """Whether the rate limiter counts. Without Redis it grants everything and logs that."""

    async def spend() -> tuple[int, int]:
        limiter = RateLimiter(settings)
        try:
            return (await limiter.take(caller, 100)).remaining, (await limiter.take(caller, 100)).remaining
        finally:
            await limiter.close()

    caller = Holder(uuid4(), uuid4())
    first, second = asyncio.run(spend())
    return bool(second < first)


def test_the_documented_rights_are_enough(redis_url: str, admin: redis.Redis) -> None:
    settings = limited(redis_url, admin, documented_rules())

    assert sends_and_consumes(settings)
    assert limits_rates(settings)
    with redis.Redis.from_url(settings.redis_url) as other, pytest.raises(redis.exceptions.NoPermissionError):
        other.get("another-product")


def test_the_documented_pattern_covers_the_namespace_itself(redis_url: str, admin: redis.Redis) -> None:
    """Dramatiq's scripts declare the namespace as their key: a pattern with a colon refuses each of them."""
    rules = [rule.replace("~tenantry*", "~tenantry:*") for rule in documented_rules()]
    settings = limited(redis_url, admin, rules)
    dispatcher = Dispatcher(settings)

    dispatcher([WakeUp(uuid4(), Forward("validate_request"))])

    assert dispatcher.backlog(FORWARD_QUEUE) is None  # it pauses after the error
    dispatcher.close()
