"""Rate limits callers with a token bucket in Redis, which all processes share."""

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

REDIS_TIMEOUT = 0.25
"""Seconds that a request waits for Redis."""

FAILURE_BACK_OFF = 1.0
"""Seconds without rate limiting after Redis failed, so that requests do not each wait for the timeout."""

# KEYS[1]: the bucket. ARGV: its size, points added per second, points to take. Redis's clock, to the microsecond.
# Returns 1 (granted) or 0 (refused), and the points that are left.
TAKE_SCRIPT = """
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
    """The caller's bucket has too few points. ``retry_after`` in whole seconds."""

    code = "RATE_LIMITED"

    def __init__(self, budget: Budget, refill: int) -> None:
        self.budget = budget
        self.retry_after = max(1, math.ceil((budget.cost - budget.remaining) / refill))
        super().__init__(
            f"Rate limit exceeded: this operation costs {budget.cost} points and {budget.remaining} are left; "
            f"wait {self.retry_after} s."
        )


class RateLimiter:
    """The buckets of all callers."""

    def __init__(self, settings: Settings) -> None:
        self.size = settings.budget
        self.refill = settings.budget_refill
        self._redis = redis.asyncio.from_url(
            settings.redis_url,
            socket_connect_timeout=REDIS_TIMEOUT,
            socket_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._redis.register_script(TAKE_SCRIPT)
        self._disabled_until = 0.0

    async def take(self, caller_id: UUID, cost: int) -> Budget:
        """Take points from a caller's bucket; grant them while Redis is unreachable. Raises RateLimited, TooComplex."""
        if cost > self.size:
            raise TooComplex(f"This operation costs {cost} points; an operation may cost at most {self.size}.")
        granted, points = await self._take_points(caller_id, cost)
        full_in = timedelta(seconds=(self.size - points) / self.refill)
        budget = Budget(cost, self.size, int(points), datetime.now(UTC) + full_in)
        if not granted:
            raise RateLimited(budget, self.refill)
        return budget

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _take_points(self, caller_id: UUID, cost: int) -> tuple[bool, float]:
        """Whether the points were granted, and how many are left."""
        if time.monotonic() < self._disabled_until:
            return True, float(self.size - cost)
        try:
            granted, points = await self._script(
                keys=[f"tenantry:budget:{caller_id}"], args=[self.size, self.refill, cost]
            )
        except (RedisError, OSError) as error:
            self._disabled_until = time.monotonic() + FAILURE_BACK_OFF
            logger.warning("rate limiting disabled: broker unreachable", extra={"cause": str(error)})
            return True, float(self.size - cost)
        return bool(granted), float(points)


class RateLimiting(SchemaExtension):
    """Takes each operation's cost before its execution. A subscription costs once."""

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self._rate_limiter = rate_limiter

    async def on_execute(self) -> AsyncIterator[None]:
        """Take the operation's cost from the caller's budget."""
        execution = self.execution_context
        if isinstance(execution.context, Context) and execution.graphql_document is not None:
            cost = cost_of(execution.graphql_document, execution.operation_name, execution.variables)
            execution.context.budget = await self._rate_limiter.take(execution.context.actor.id, cost)
        yield
