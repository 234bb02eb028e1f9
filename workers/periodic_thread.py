"""A thread that repeats one task until it is stopped, also after the task raises."""

import logging
import threading
from abc import ABC, abstractmethod

logger = logging.getLogger(__name__)

BACK_OFF_AFTER_FAILURE = 1.0
"""Seconds."""


class PeriodicThread(ABC):
    """Subclasses define the task and the pause after it."""

    def __init__(self, name: str) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Wait for the current task, at most ``timeout`` seconds, and end the thread."""
        self.stopping.set()
        self._thread.join(timeout)

    @abstractmethod
    def run_once(self) -> float:
        """Run the task once. Returns the pause after it, in seconds."""

    def _run(self) -> None:
        while not self.stopping.is_set():
            self.stopping.wait(self._run_once_safely())

    def _run_once_safely(self) -> float:
        try:
            return self.run_once()
        except Exception:
            # The database may be unavailable for a while; this thread must continue when it is back.
            logger.exception("%s failed, retrying", self._thread.name)
            return BACK_OFF_AFTER_FAILURE
