"""Limits how many operations, connections or exports each key may have at the same time."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from runtime.connection_shares import Holder
from schema.errors import RequestRefused


class ConcurrencyLimitExceeded(RequestRefused):
    """The key has reached its limit."""

    code = "TOO_MANY_OPERATIONS"


class ConcurrencyLimit:
    """Counts slots by key, within this process. ``noun`` is what is counted, in the plural."""

    def __init__(self, limit: int, noun: str) -> None:
        self._limit = limit
        self._noun = noun
        self._used: Counter[Hashable] = Counter()

    @contextmanager
    def slot(self, key: Hashable) -> Iterator[None]:
        """Occupy a slot for the length of the block. Raises ConcurrencyLimitExceeded."""
        if self._used[key] >= self._limit:
            raise ConcurrencyLimitExceeded(f"Too many {self._noun} ({self._limit}): end one before starting another.")
        self._used[key] += 1
        try:
            yield
        finally:
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]

    def used(self, key: Hashable) -> int:
        """How many slots the key occupies now."""
        return self._used[key]


class HolderLimit:
    """Counts slots by caller and by organisation, so that an organisation gains nothing by more accounts."""

    def __init__(self, noun: str, *, per_caller: int, per_organisation: int) -> None:
        self._callers = ConcurrencyLimit(per_caller, noun)
        self._organisations = ConcurrencyLimit(per_organisation, f"{noun} in your organisation")

    @contextmanager
    def slot(self, holder: Holder) -> Iterator[None]:
        """Occupy a slot of the caller and of its organisation. Raises ConcurrencyLimitExceeded."""
        with self._callers.slot(holder.caller), self._organisations.slot(holder.organisation):
            yield
