"""Sends wake-ups after a commit. Losing one is harmless: the sweeper sends it again."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import dramatiq
import redis

from provisioning.moves import Forward
from provisioning.wakeups import WakeUp
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE, NAMESPACE, redis_broker

logger = logging.getLogger(__name__)

T = TypeVar("T")

BROKER_TIMEOUT = 0.5
"""Seconds. Short, because the caller waits for it after the commit; the sweeper sends the wake-ups that were lost."""

PAUSE_AFTER_TIMEOUT = 0.5
"""Seconds without sending after a timeout: a broker that hangs delays one thread, and those that record with it, once
per pause."""

PAUSE_AFTER_ERROR = 0.25
"""Seconds without sending after an error, which the broker returns at once."""


class Dispatcher:
    """Sends wake-ups when called. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._broker = redis_broker(settings, timeout=BROKER_TIMEOUT, retries=0)
        self._paused_until = 0.0
        self._unavailable = False
        self._probing = threading.Lock()

    def __call__(self, wake_ups: Sequence[WakeUp]) -> None:
        """Send all wake-ups, or none during a pause: the sweeper sends them again."""

        def send() -> None:
            for wake_up in wake_ups:
                self._broker.enqueue(message_of(wake_up))

        self._call(send)

    def backlog(self, queue: str) -> int | None:
        """Number of messages in the queue; None while the broker is unavailable."""
        return self._call(lambda: int(self._broker.client.llen(f"{NAMESPACE}:{queue}")))

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()
        self._broker.client.close()

    def _call(self, call: Callable[[], T]) -> T | None:
        """What ``call`` returns; None while the broker is unavailable. Then only one thread at a time tries again."""
        if time.monotonic() < self._paused_until:
            return None
        probes = self._unavailable
        if probes and not self._probing.acquire(blocking=False):
            return None
        try:
            answer = call()
        except redis.RedisError as error:
            self._pause(error)
            return None
        finally:
            if probes:
                self._probing.release()
        if self._unavailable:
            self._unavailable = False
            logger.info("broker is back")
        return answer

    def _pause(self, error: redis.RedisError) -> None:
        pause = PAUSE_AFTER_TIMEOUT if isinstance(error, redis.TimeoutError) else PAUSE_AFTER_ERROR
        self._paused_until = time.monotonic() + pause
        if not self._unavailable:
            self._unavailable = True
            logger.warning("broker unavailable, the sweeper will send the wake-ups again", extra={"cause": str(error)})


def message_of(wake_up: WakeUp) -> dramatiq.Message[None]:
    """Build the message for the actor that makes this move."""
    forward = isinstance(wake_up.move, Forward)
    return dramatiq.Message(
        queue_name=FORWARD_QUEUE if forward else COMPENSATION_QUEUE,
        actor_name="run_step" if forward else "compensate_step",
        args=(str(wake_up.run_id), wake_up.move.step),
        kwargs={},
        options={},
    )
