"""The patience of a step, in the hands of a check."""

import threading

from provisioning.step_context import StopReason, StopSignal


class StopToken:
    """``told_to_stop`` is what a cancel does; ``asked`` is set when the adapter came to a safe point."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._stop_signal = StopSignal()

    def told_to_stop(self) -> "StopToken":
        """The same patience, at its end."""
        self._stop_signal.set(StopReason.CANCELLED)
        return self

    def sleep(self, seconds: float) -> None:
        """Wait, or raise StepStopped."""
        self.asked.set()
        self._stop_signal.wait(seconds)

    def checkpoint(self) -> None:
        """Raise StepStopped once it was told to stop."""
        self.asked.set()
        self._stop_signal.check()
