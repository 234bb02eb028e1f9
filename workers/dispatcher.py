"""Sends wake-ups once a transaction has committed. Losing one is harmless, so a broker that is away costs little."""

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
"""Seconds that a commit waits for the broker at the most: somebody waits for the commit, the sweeper for the broker."""

PAUSE_AFTER_TIMEOUT = 1.0
"""Seconds for which nothing is sent after the broker did not answer: one that hangs costs a thread one wait a rest."""

PAUSE_AFTER_ERROR = 0.5
"""Seconds for which nothing is sent after the broker said no or hung up, which it does at once."""


class Dispatcher:
    """Callable with wake-ups; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._broker = redis_broker(settings, timeout=BROKER_TIMEOUT, retries=0)
        self._paused_until = 0.0
        self._lock = threading.Lock()

    def __call__(self, wake_ups: Sequence[WakeUp]) -> None:
        """Send them all, or none while the broker is known to be away: the sweeper asks again."""
        if time.monotonic() < self._paused_until:
            return
        try:
            for wake_up in wake_ups:
                self._broker.enqueue(message_of(wake_up))
        except redis.RedisError as error:
            self._pause(error)

    def backlog(self, queue: str) -> int | None:
        """How many messages wait for a worker; None while the broker is away."""
        if time.monotonic() < self._paused_until:
            return None
        try:
            waiting: int = self._broker.client.llen(f"{NAMESPACE}:{queue}")
        except redis.RedisError as error:
            self._pause(error)
            return None
        return waiting

    def close(self) -> None:
        """Give the connections back."""
        self._broker.close()
        self._broker.client.close()

    def _pause(self, error: redis.RedisError) -> None:
        rest = PAUSE_AFTER_TIMEOUT if isinstance(error, redis.TimeoutError) else PAUSE_AFTER_ERROR
        with self._lock:
            self._paused_until = time.monotonic() + rest
        logger.warning("the broker did not take wake-ups, the sweeper will ask again", extra={"cause": str(error)})


def message_of(wake_up: WakeUp) -> dramatiq.Message[None]:
    """The message for the actor that makes this move."""
    forward = isinstance(wake_up.move, Forward)
    return dramatiq.Message(
        queue_name=FORWARD_QUEUE if forward else COMPENSATION_QUEUE,
        actor_name="run_step" if forward else "compensate_step",
        args=(str(wake_up.run_id), wake_up.move.step),
        kwargs={},
        options={},
    )
