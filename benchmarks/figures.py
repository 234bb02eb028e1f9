"""Samples of durations with their summary."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Samples:
    """Durations of one operation, in seconds."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._seconds: list[float] = []

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add one sample: the duration of the block."""
        began = time.perf_counter()
        yield
        self._seconds.append(time.perf_counter() - began)

    def quantile(self, part: float) -> float:
        """The quantile of the samples, in seconds."""
        return sorted(self._seconds)[int(len(self._seconds) * part)]

    def report(self) -> None:
        """Print median, 99th percentile and rate per second."""
        median = statistics.median(self._seconds)
        worst = self.quantile(0.99)
        print(f"  {self.what:<44} p50 {median * 1000:8.2f} ms   p99 {worst * 1000:8.2f} ms   {1 / median:8.0f} /s")


def await_condition(condition: Callable[[], bool], within: float = 60.0, poll: float = 0.001) -> None:
    """Wait until the condition holds. Raises TimeoutError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {within} s")
        time.sleep(poll)
