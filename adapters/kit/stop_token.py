"""A stop token that a check controls."""

import threading

from provisioning.step_context import StopReason, StopSignal


class StopToken:
    """``stop`` is what a cancel does. ``reached_safe_point`` is set when the adapter uses the token."""

    def __init__(self) -> None:
        self.reached_safe_point = threading.Event()
        self._stop_signal = StopSignal()

    def stop(self) -> "StopToken":
        """Stop the step. Returns the token itself."""
        self._stop_signal.set(StopReason.CANCELLED)
        return self

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds. Raises StepStopped as soon as the step is stopped."""
        self.reached_safe_point.set()
        self._stop_signal.wait(seconds)

    def checkpoint(self) -> None:
        """Raise StepStopped when the step is stopped."""
        self.reached_safe_point.set()
        self._stop_signal.check()
