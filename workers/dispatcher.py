"""Sends wake-ups after a commit. Losing one is harmless: the sweeper sends it again."""

import logging
import threading
import time
from collections.abc import Sequence

import dramatiq
import redis

from provisioning.moves import Forward
from provisioning.wakeups import WakeUp
from runtime.settings import Settings
from workers.broker import COMPENSATION_QUEUE, FORWARD_QUEUE, NAMESPACE, redis_broker

logger = logging.getLogger(__name__)

BROKER_TIMEOUT = 0.5
"""Seconds. Short, because the caller waits for it after the commit; the sweeper sends the wake-ups that were lost."""

PAUSE_AFTER_TIMEOUT = 1.0
"""Seconds without sending after a timeout: a broker that hangs delays a thread once per pause."""

PAUSE_AFTER_ERROR = 0.5
"""Seconds without sending after an error, which the broker returns at once."""


class Dispatcher:
    """Sends wake-ups when called. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._broker = redis_broker(settings, timeout=BROKER_TIMEOUT, retries=0)
        self._paused_until = 0.0
        self._lock = threading.Lock()

    def __call__(self, wake_ups: Sequence[WakeUp]) -> None:
        """Send all wake-ups, or none during a pause: the sweeper sends them again."""
        if time.monotonic() < self._paused_until:
            return
        try:
            for wake_up in wake_ups:
                self._broker.enqueue(message_of(wake_up))
        except redis.RedisError as error:
            self._pause(error)

    def backlog(self, queue: str) -> int | None:
        """Number of messages in the queue; None while the broker is unavailable."""
        if time.monotonic() < self._paused_until:
            return None
        try:
            length: int = self._broker.client.llen(f"{NAMESPACE}:{queue}")
        except redis.RedisError as error:
            self._pause(error)
            return None
        return length

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()
        self._broker.client.close()

    def _pause(self, error: redis.RedisError) -> None:
        pause = PAUSE_AFTER_TIMEOUT if isinstance(error, redis.TimeoutError) else PAUSE_AFTER_ERROR
        with self._lock:
            self._paused_until = time.monotonic() + pause
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
