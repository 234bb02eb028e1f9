"""How many of something each of somebody has at the moment, and no more than they may."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from schema.errors import RequestRefused


class ConcurrencyLimitExceeded(RequestRefused):
    """Somebody has as many of something under way as they may have."""

    code = "TOO_MANY_OPERATIONS"


class ConcurrencyLimit:
    """Counts within this process. ``noun`` is what is counted, in the plural."""

    def __init__(self, most: int, noun: str) -> None:
        self._most = most
        self._noun = noun
        self._now: Counter[Hashable] = Counter()

    @contextmanager
    def slot(self, whose: Hashable) -> Iterator[None]:
        """Count one for the length of the block. Raises ConcurrencyLimitExceeded."""
        if self._now[whose] >= self._most:
            raise ConcurrencyLimitExceeded(f"You have {self._most} {self._noun} already: end one first.")
        self._now[whose] += 1
        try:
            yield
        finally:
            self._now[whose] -= 1
            if not self._now[whose]:
                del self._now[whose]

    def of(self, whose: Hashable) -> int:
        """How many somebody has now."""
        return self._now[whose]
