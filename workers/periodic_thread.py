"""A thread that does one thing again and again until it is told to stop, and outlives whatever that thing raises."""

import logging
import threading
from abc import ABC, abstractmethod

logger = logging.getLogger(__name__)

BACK_OFF_AFTER_FAILURE = 1.0
"""Seconds."""


class PeriodicThread(ABC):
    """Subclasses say what is done once, and for how long to rest after it."""

    def __init__(self, name: str) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Finish what is under way, at most ``timeout`` seconds, and end."""
        self.stopping.set()
        self._thread.join(timeout)

    @abstractmethod
    def run_once(self) -> float:
        """Do it once; returns the seconds to rest."""

    def _run(self) -> None:
        while not self.stopping.is_set():
            self.stopping.wait(self._run_once_safely())

    def _run_once_safely(self) -> float:
        try:
            return self.run_once()
        except Exception:
            # The database may be away for a while; this thread must be there when it is back.
            logger.exception("%s failed, trying again", self._thread.name)
            return BACK_OFF_AFTER_FAILURE
