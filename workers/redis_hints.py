"""Hints over the publish/subscribe of the broker, in place of NOTIFY.

Nothing depends on them: a subscription polls, and a hint for a worker goes by NOTIFY as well.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from sqlalchemy.exc import SQLAlchemyError

from provisioning import run_store
from provisioning.events import CANCEL_CHANNEL, FEED_CHANNEL
from runtime.database import Database
from runtime.feed import Feed
from runtime.hints import Carrier, Hint, HintSender, NotifyCarrier
from runtime.settings import HintCarrier, Settings
from workers.broker import NAMESPACE, TCP_KEEPALIVE, redis_client
from workers.heartbeat import Heartbeat, parts
from workers.periodic_thread import BACK_OFF_AFTER_FAILURE, PeriodicThread
from workers.running_steps import RunningSteps

logger = logging.getLogger(__name__)

TIMEOUT = 0.5
"""Seconds that the thread of a sender waits for Redis. No command waits for that thread."""

PAUSE_AFTER_ERROR = 1.0
"""Seconds without a hint to Redis after an error: urgent hints then go by NOTIFY only, without waiting for it."""

LONGEST_LISTEN = 1.0
"""Seconds until a thread that listens looks whether it has to stop."""

ASKED_TOGETHER = 500
"""Runs in one statement that asks which of them have a cancel on record: a message may name any number."""

PUBLISH = """
local heard = {}
for i, channel in ipairs(ARGV) do
    if i % 2 == 1 then
        local listeners = redis.call("pubsub", "numsub", channel)[2]
        heard[#heard + 1] = listeners > 0 and redis.call("publish", channel, ARGV[i + 1]) or 0
    end
end
return heard
"""
"""Publishes each message to its channel, if anything listens to it. Returns the number of listeners that each reached.
Channel and message in turn. In one command, so a commit costs one round trip at most."""


def hint_sender(settings: Settings) -> HintSender:
    """The sender of the carrier that the settings name."""
    notify = NotifyCarrier(settings.database_url)
    return HintSender(RedisCarrier(settings, notify) if settings.hints is HintCarrier.REDIS else notify)


def change_feed(settings: Settings) -> Feed:
    """The change feed, which listens to the carrier that the settings name."""
    if settings.hints is not HintCarrier.REDIS:
        return Feed(settings.database_url, FEED_CHANNEL)

    async def listen(feed: Feed) -> None:
        await _listen_to_redis(feed, settings)

    return Feed(settings.database_url, FEED_CHANNEL, listen)


def channel_of(client: redis.Redis | redis.asyncio.Redis, channel: str) -> str:
    """The channel in Redis. Its name has the number of the database: channels, unlike keys, are shared by all of them.

    So several installations may share a server when each uses its own database number.
    """
    return f"{NAMESPACE}:{client.connection_pool.connection_kwargs.get('db') or 0}:{channel}"


class RedisCarrier:
    """Carries hints by PUBLISH, and urgent ones by ``urgent_too`` as well.

    They are rare, and that any worker heard one says nothing about the owner of the run: it may have another setting,
    or reconnect just now.
    """

    def __init__(self, settings: Settings, urgent_too: Carrier) -> None:
        self._urgent_too = urgent_too
        self._redis = redis_client(settings, TIMEOUT, retries=1)
        self._publish = self._redis.register_script(PUBLISH)
        self._paused_until = 0.0
        self._lost = False

    def send(self, hints: Sequence[Hint]) -> bool:
        """Send these hints: one message for each channel. Returns whether one was heard."""
        by_channel: dict[str, list[Hint]] = {}
        for hint in dict.fromkeys(hints):
            by_channel.setdefault(hint.channel, []).append(hint)
        heard = self._heard({channel: [hint.payload for hint in some] for channel, some in by_channel.items()})
        urgent = [hint for some in by_channel.values() for hint in some if hint.urgent]
        by_notify = bool(urgent) and self._urgent_too.send(urgent)
        return by_notify or any(heard.values())

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._urgent_too.close()

    def _heard(self, payloads: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Publish the payloads, a line each. Returns the number of listeners of each channel; none without Redis."""
        if time.monotonic() < self._paused_until:
            return {}
        arguments = [
            part for channel, lines in payloads.items() for part in (channel_of(self._redis, channel), "\n".join(lines))
        ]
        try:
            listeners: list[int] = self._publish(args=arguments)
        except redis.RedisError as error:
            self._pause(error)
            return {}
        if self._lost:
            self._lost = False
            logger.info("hints are sent by Redis again")
        return dict(zip(payloads, listeners, strict=True))

    def _pause(self, error: redis.RedisError) -> None:
        self._paused_until = time.monotonic() + PAUSE_AFTER_ERROR
        if not self._lost:
            self._lost = True
            cause = str(error) or type(error).__name__
            logger.warning("hints not sent by Redis, their readers find the changes later", extra={"cause": cause})


class RedisCancelListener(PeriodicThread):
    """Receives cancels over Redis, to stop the step that runs in this process, as ``CancelListener`` does by NOTIFY.

    A message only says where to look: a step is stopped when the row of its run has a cancel. After a reconnect, a
    renewal of all leases finds the cancels that it missed.
    """

    def __init__(
        self, settings: Settings, database: Database, running_steps: RunningSteps, heartbeat: Heartbeat
    ) -> None:
        super().__init__("cancel listener of Redis")
        self._settings = settings
        self._database = database
        self._running_steps = running_steps
        self._heartbeat = heartbeat
        self._lost = False

    def run_once(self) -> float:
        """Subscribe and listen until ``stop``, or until the connection is lost."""
        with closing(redis_client(self._settings, TIMEOUT, retries=0)) as client:
            heard = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py has no annotations here
            try:
                heard.subscribe(channel_of(client, CANCEL_CHANNEL))
                while not self.stopping.is_set():
                    self._receive(heard.get_message(timeout=LONGEST_LISTEN))
            except redis.RedisError as error:
                if not self._lost:
                    cause = str(error) or type(error).__name__
                    logger.warning("connection for cancels to Redis lost, reconnecting", extra={"cause": cause})
                self._lost = True
            finally:
                heard.close()
        return BACK_OFF_AFTER_FAILURE

    def _receive(self, message: Mapping[str, Any] | None) -> None:
        match message:
            case {"type": "subscribe"}:
                self._lost = False
                self._heartbeat.renew()
            case {"type": "message", "data": bytes(payloads)}:
                for named in parts(_run_ids(payloads), ASKED_TOGETHER):
                    self._stop_cancelled(named)
            case _:
                pass

    def _stop_cancelled(self, named: Sequence[UUID]) -> None:
        """Stop the steps of those runs that have a cancel on record."""
        try:
            cancelled = self._database.execute(run_store.with_cancel, named)
        except SQLAlchemyError as error:
            logger.warning("cancels not read, the next renewal finds them", extra={"cause": str(error)})
            return
        for run_id in cancelled:
            self._running_steps.cancel(run_id)


def _run_ids(payloads: bytes) -> list[UUID]:
    """The runs that a message names, each once."""
    run_ids: dict[UUID, None] = {}
    for line in payloads.decode(errors="replace").splitlines():
        with suppress(ValueError):  # not from this product
            run_ids[UUID(line)] = None
    return list(run_ids)


async def _listen_to_redis(feed: Feed, settings: Settings) -> None:
    """Listen until the connection is lost. Raises OSError then."""
    options = (
        {}
        if settings.redis_url.startswith("unix:")
        else {
            "socket_keepalive": True,
            "socket_keepalive_options": TCP_KEEPALIVE,
        }
    )
    client = redis.asyncio.from_url(
        settings.redis_url, socket_connect_timeout=TIMEOUT, retry=AsyncRetry(NoBackoff(), 0), **options
    )
    try:
        async with client, client.pubsub() as subscription:
            await subscription.subscribe(channel_of(client, FEED_CHANNEL))
            async for message in subscription.listen():
                if message["type"] == "subscribe":
                    feed.resume()
                elif message["type"] == "message":
                    for payload in message["data"].decode(errors="replace").splitlines():
                        feed.notify(payload)
    except redis.RedisError as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
