"""A login of Redis with the rights that docs/operating.md lists is enough, and none of them can be left out."""

import asyncio
import threading
from collections.abc import Iterator
from uuid import uuid4

import dramatiq
import pytest
import redis

from provisioning.events import CANCEL_CHANNEL, cancel_hint
from provisioning.moves import Forward
from provisioning.wakeups import WakeUp
from runtime.connection_shares import Holder
from runtime.settings import Settings
from server.limits.rate_limit import RateLimiter
from tests.builders import settings_with
from tests.hint_carriers import KeepingCarrier
from tests.promises.documents import document
from tests.waiting import wait_until
from workers.broker import FORWARD_QUEUE, Worker, redis_broker
from workers.dispatcher import Dispatcher
from workers.redis_hints import RedisCarrier, channel_of


def documented_rules(*, with_hints: bool = False) -> list[str]:
    """The rules of the ACL in the section about Redis, and those that hints over Redis need besides."""
    section = document("docs/operating.md").section("Redis")
    lines = [line.split()[3:] for line in section.text.splitlines() if line.startswith("ACL SETUSER ")]
    rules, for_hints = lines
    return rules + for_hints if with_hints else rules


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


@pytest.mark.parametrize("with_hints", [True, False])
def test_the_documented_rights_for_hints_are_enough_and_needed(
    redis_url: str, admin: redis.Redis, *, with_hints: bool
) -> None:
    settings = limited(redis_url, admin, documented_rules(with_hints=with_hints))
    notified, hint, heard = KeepingCarrier(), cancel_hint(uuid4()), threading.Event()
    carrier = RedisCarrier(settings, notified)
    with redis.Redis.from_url(settings.redis_url) as client, client.pubsub() as subscription:
        channel = channel_of(client, CANCEL_CHANNEL)
        if with_hints:
            subscription.subscribe(**{channel: lambda _: heard.set()})
            wait_until(lambda: channel.encode() in admin.pubsub_channels(), within=10)
        else:
            subscription.subscribe(channel)
            with pytest.raises(redis.exceptions.NoPermissionError):
                subscription.get_message(timeout=10)

        carrier.send([hint])

        if with_hints:
            wait_until(lambda: (subscription.get_message(timeout=0.1), heard.is_set())[1], within=10)
            subscription.unsubscribe()
    carrier.close()
    assert heard.is_set() is with_hints
    assert notified.sent == [hint]


def test_the_documented_pattern_covers_the_namespace_itself(redis_url: str, admin: redis.Redis) -> None:
    """Dramatiq's scripts declare the namespace as their key: a pattern with a colon refuses each of them."""
    rules = [rule.replace("~tenantry*", "~tenantry:*") for rule in documented_rules()]
    settings = limited(redis_url, admin, rules)
    dispatcher = Dispatcher(settings)

    dispatcher([WakeUp(uuid4(), Forward("validate_request"))])

    assert dispatcher.backlog(FORWARD_QUEUE) is None  # it pauses after the error
    dispatcher.close()
