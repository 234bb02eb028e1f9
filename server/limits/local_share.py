"""What a process grants of budgets without asking Redis: a small part of each, while much of it is left."""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from runtime.connection_shares import Holder

PART = 20
"""A process grants at most one part in so many of a budget before it takes these points from Redis."""

LEFT = 2
"""It grants nothing when less than one part in so many of the budget would be left."""

KNOWN_FOR = 1.0
"""Seconds after which Redis is asked again: other processes may have taken points meanwhile."""

MOST_KNOWN = 10_000
"""Budgets that are remembered before those that are too old are forgotten."""


@dataclass(slots=True)
class _Budget:
    """What is left of one budget, with the points that were granted here subtracted, and how many of these are owed.

    Points are owed until Redis has answered: while it is slow, no more are granted.
    """

    points: float = 0.0
    read_at: float = float("-inf")
    owed: int = 0

    @property
    def is_needed(self) -> bool:
        return self.owed > 0 or time.monotonic() - self.read_at < KNOWN_FOR


class LocalShare:
    """The points that this process has granted to callers and their organisations, and still owes to Redis."""

    def __init__(self, size: int, organisation_size: int) -> None:
        self._size = size
        self._organisation_size = organisation_size
        self._callers: dict[UUID, _Budget] = {}
        self._organisations: dict[UUID, _Budget] = {}
        self._owed: Counter[Holder] = Counter()

    def grant(self, holder: Holder, cost: int) -> tuple[float, float] | None:
        """Take points here. Returns how many are left of both budgets; None when Redis has to be asked."""
        own, shared = self._callers.get(holder.caller), self._organisations.get(holder.organisation)
        if own is None or shared is None:
            return None
        if not (_may_grant(own, self._size, cost) and _may_grant(shared, self._organisation_size, cost)):
            return None
        for budget in (own, shared):
            budget.points -= cost
            budget.owed += cost
        self._owed[holder] += cost
        return own.points, shared.points

    def owes(self, holder: Holder) -> bool:
        """Whether points were granted to this holder of which Redis was not told."""
        return holder in self._owed

    @contextmanager
    def telling(self, holder: Holder) -> Iterator[int]:
        """Redis is told in the block of the points that it gets. They are owed until its end, also after a failure."""
        owed = self._owed.pop(holder, 0)
        try:
            yield owed
        finally:
            if owed:
                self._callers[holder.caller].owed -= owed
                self._organisations[holder.organisation].owed -= owed

    def debtors(self) -> Collection[Holder]:
        """The holders for whom points are owed."""
        return list(self._owed)

    def learn(self, holder: Holder, points: float, of_organisation: float) -> None:
        """Note what Redis says is left. What is still owed, or on its way, is not in it."""
        for budgets, key, left in (
            (self._callers, holder.caller, points),
            (self._organisations, holder.organisation, of_organisation),
        ):
            if len(budgets) >= MOST_KNOWN and key not in budgets:
                _forget(budgets)
            budget = budgets.setdefault(key, _Budget())
            budget.points, budget.read_at = left - budget.owed, time.monotonic()


def _may_grant(budget: _Budget, size: int, cost: int) -> bool:
    return (
        time.monotonic() - budget.read_at < KNOWN_FOR
        and budget.owed + cost <= size // PART
        and budget.points - cost >= size / LEFT
    )


def _forget(budgets: dict[UUID, _Budget]) -> None:
    for key in [key for key, budget in budgets.items() if not budget.is_needed]:
        del budgets[key]
