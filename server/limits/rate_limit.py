"""What a caller may ask of us: a bucket of points in Redis, so that it holds across processes."""

import logging
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from strawberry.extensions import SchemaExtension

from runtime.settings import Settings
from schema.context import Budget, Context
from schema.errors import RequestRefused, TooComplex
from server.limits.query_cost import cost_of

logger = logging.getLogger(__name__)

WITHIN = 0.25
"""Seconds that a request waits for the count."""

REST_AFTER_FAILURE = 1.0
"""Seconds for which nothing is counted after Redis failed, so that one that hangs slows nobody for long."""

# KEYS[1] the bucket; ARGV: its size, points that flow in per second, points wanted. Redis's clock, to the microsecond.
# Answers with 1 or 0, granted or not, and with what is left.
TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local size, refill, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'points', 'at')
local points = tonumber(kept[1]) or size
local at = tonumber(kept[2]) or now
points = math.min(size, points + math.max(0, now - at) * refill)
local granted = 0
if points >= cost then
  points = points - cost
  granted = 1
end
redis.call('HSET', KEYS[1], 'points', tostring(points), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], math.ceil(size / refill) + 1)
return {granted, tostring(points)}
"""


class RateLimited(RequestRefused):
    """The caller's bucket holds too little. ``retry_after`` in whole seconds."""

    code = "RATE_LIMITED"

    def __init__(self, budget: Budget, refill: int) -> None:
        self.budget = budget
        self.retry_after = max(1, math.ceil((budget.cost - budget.remaining) / refill))
        super().__init__(
            f"This operation takes {budget.cost} points and {budget.remaining} are left; wait {self.retry_after} s."
        )


class RateLimiter:
    """The buckets of all callers."""

    def __init__(self, settings: Settings) -> None:
        self.size = settings.budget
        self.refill = settings.budget_refill
        self._redis = redis.asyncio.from_url(
            settings.redis_url, socket_connect_timeout=WITHIN, socket_timeout=WITHIN, retry=Retry(NoBackoff(), 0)
        )
        self._take = self._redis.register_script(TAKE)
        self._resting_until = 0.0

    async def take(self, caller_id: UUID, cost: int) -> Budget:
        """Take points out of a caller's bucket. Raises RateLimited, TooComplex; while Redis is away, nothing."""
        if cost > self.size:
            raise TooComplex(f"This operation takes {cost} points; no more than {self.size} can be had at once.")
        granted, points = await self._taken(caller_id, cost)
        full_in = timedelta(seconds=(self.size - points) / self.refill)
        budget = Budget(cost, self.size, int(points), datetime.now(UTC) + full_in)
        if not granted:
            raise RateLimited(budget, self.refill)
        return budget

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def _taken(self, caller_id: UUID, cost: int) -> tuple[bool, float]:
        if time.monotonic() < self._resting_until:
            return True, float(self.size - cost)
        try:
            granted, points = await self._take(
                keys=[f"tenantry:budget:{caller_id}"], args=[self.size, self.refill, cost]
            )
        except (RedisError, OSError) as error:
            self._resting_until = time.monotonic() + REST_AFTER_FAILURE
            logger.warning("nothing is counted: the broker is away", extra={"cause": str(error)})
            return True, float(self.size - cost)
        return bool(granted), float(points)


class RateLimiting(SchemaExtension):
    """Takes each operation's cost before it is executed. A subscription costs once."""

    def __init__(self, budgets: RateLimiter) -> None:
        self._budgets = budgets

    async def on_execute(self) -> AsyncIterator[None]:
        """Take, or refuse."""
        execution = self.execution_context
        if isinstance(execution.context, Context) and execution.graphql_document is not None:
            cost = cost_of(execution.graphql_document, execution.operation_name, execution.variables)
            execution.context.budget = await self._budgets.take(execution.context.actor.id, cost)
        yield
