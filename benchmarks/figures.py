"""Samples and the line that sums them up."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Samples:
    """Durations of one thing, in seconds."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._seconds: list[float] = []

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Take one sample: the length of the block."""
        began = time.perf_counter()
        yield
        self._seconds.append(time.perf_counter() - began)

    def quantile(self, part: float) -> float:
        """What this part of the samples did not exceed, in seconds."""
        return sorted(self._seconds)[int(len(self._seconds) * part)]

    def report(self) -> None:
        """Print median, 99th percentile and how many fit into a second."""
        median = statistics.median(self._seconds)
        worst = self.quantile(0.99)
        print(f"  {self.what:<44} p50 {median * 1000:8.2f} ms   p99 {worst * 1000:8.2f} ms   {1 / median:8.0f} /s")


def await_condition(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Return as soon as it holds. Raises TimeoutError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s")
        time.sleep(0.001)
