"""Rate limits callers and their organisations with token buckets in Redis, which all processes share."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import StreamExecutionResult

from runtime.connection_shares import Holder
from runtime.settings import Settings
from schema.context import Budget, Context, OrganizationBudget
from schema.errors import RequestRefused, TooComplex
from server.limits.local_share import LocalShare
from server.limits.query_cost import cost_of, event_cost
from server.limits.replays import Replays

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.25
"""Seconds that a request waits for Redis."""

FAILURE_BACK_OFF = 1.0
"""Seconds without rate limiting after Redis failed, so that requests do not each wait for the timeout."""

CHARGED_TOGETHER = 100
"""Points of delivered events that a process takes at once, because a round trip for each event would cost more than
the event. At most a tenth of a bucket."""

OWED_FOR = 0.1
"""Seconds after which the points that a process has granted by itself are taken from the buckets."""

# KEYS: the buckets of the caller and of its organisation. ARGV: points to take, whether the buckets may be overdrawn by
# their size (1 or 0), points that were granted before and are taken in any case, then size and points added per second
# of each bucket. Redis's clock, to the microsecond.
# Takes from both or from neither. Returns 1 (granted) or 0 (refused), and the points that are left in each.
TAKE_SCRIPT = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local cost, overdraws, owed = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3])
local granted, left = 1, {}
for i, key in ipairs(KEYS) do
  local size, refill = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local kept = redis.call('HMGET', key, 'points', 'at')
  local points, at = tonumber(kept[1]) or size, tonumber(kept[2]) or now
  left[i] = math.min(size, points + math.max(0, now - at) * refill) - owed
  if left[i] < (overdraws and cost - size or cost) then
    granted = 0
  end
end
for i, key in ipairs(KEYS) do
  local size, refill = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  left[i] = left[i] - granted * cost
  redis.call('HSET', key, 'points', tostring(left[i]), 'at', tostring(now))
  redis.call('EXPIRE', key, math.ceil((size - left[i]) / refill) + 1)
end
return {granted, tostring(left[1]), tostring(left[2])}
"""


class RateLimited(RequestRefused):
    """A bucket has too few points. ``retry_after`` in whole seconds."""

    code = "RATE_LIMITED"

    def __init__(self, budget: Budget, refill: int, organisation_refill: int) -> None:
        self.budget = budget
        own = (budget.cost - budget.remaining) / refill
        shared = (budget.cost - budget.organization.remaining) / organisation_refill if budget.organization else 0.0
        self.retry_after = max(1, math.ceil(max(own, shared)))
        left = f"{budget.remaining} are left"
        if budget.organization and shared > own:
            left = f"your organisation has {budget.organization.remaining} left"
        super().__init__(
            f"Rate limit exceeded: this operation costs {budget.cost} points and {left}; wait {self.retry_after} s."
        )
        assert self.extensions is not None, "the code is in it"
        self.extensions["retryAfter"] = self.retry_after


class RateLimiter:
    """The buckets of all callers and organisations.

    Of a bucket that is more than half full a process grants up to a twentieth by itself, and takes these points soon
    after: a round trip for each request would cost as much as a small request.
    """

    def __init__(self, settings: Settings) -> None:
        self.size = settings.budget
        self.refill = settings.budget_refill
        self.organisation_size = settings.organisation_budget
        self.organisation_refill = settings.organisation_budget_refill
        self.most = min(settings.operation_cost, self.size, self.organisation_size)
        self._redis = redis.asyncio.from_url(
            settings.redis_url,
            socket_connect_timeout=REDIS_TIMEOUT,
            socket_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._redis.register_script(TAKE_SCRIPT)
        self._disabled_until = 0.0
        self._uncharged: Counter[Holder] = Counter()
        """Points of delivered events that were not taken yet."""
        self._share = LocalShare(self.size, self.organisation_size)
        self._settling: dict[Holder, asyncio.Task[None]] = {}

    async def take(self, holder: Holder, cost: int) -> Budget:
        """Take points from the buckets of a caller and its organisation; grant them while Redis is unreachable.

        Raises RateLimited, TooComplex.
        """
        if cost > self.most:
            raise TooComplex(f"This operation costs {cost} points; an operation may cost at most {self.most}.")
        granted, points, of_organisation = self._granted_here(holder, cost) or await self._take_points(holder, cost)
        budget = self._budget(holder, cost, points, of_organisation)
        if not granted:
            raise RateLimited(budget, self.refill, self.organisation_refill)
        return budget

    async def charge(self, holder: Holder, cost: int) -> None:
        """Take the points of an event that is delivered, and wait while the buckets are overdrawn by their size."""
        self._uncharged[holder] += cost
        if self._uncharged[holder] < min(CHARGED_TOGETHER, self.size // 10):
            return
        points = self._uncharged.pop(holder)
        granted = False
        while not granted:
            granted, *_ = await self._take_points(holder, points, overdraw=True)
            await asyncio.sleep(0 if granted else points / min(self.refill, self.organisation_refill))

    async def close(self) -> None:
        """Take what is owed, and close the connections."""
        settling = list(self._settling.values())
        for task in settling:
            task.cancel()
        await asyncio.gather(*settling, return_exceptions=True)
        for holder in self._share.debtors():
            await self._take_points(holder, 0)
        await self._redis.aclose()

    def _granted_here(self, holder: Holder, cost: int) -> tuple[bool, float, float] | None:
        """Grant points without Redis, which is told of them soon; None when it has to be asked."""
        left = self._share.grant(holder, cost)
        if left is None:
            return None
        if holder not in self._settling:
            self._settling[holder] = asyncio.create_task(self._settle(holder), name="settling a budget")
        return True, *left

    async def _settle(self, holder: Holder) -> None:
        """Take the points that were granted here, until none are owed."""
        try:
            while self._share.owes(holder):
                await asyncio.sleep(OWED_FOR)
                await self._take_points(holder, 0)
        finally:
            del self._settling[holder]

    def _budget(self, holder: Holder, cost: int, points: float, of_organisation: float) -> Budget:
        now = datetime.now(UTC)
        organisation = OrganizationBudget(
            self.organisation_size,
            max(0, int(of_organisation)),
            now + timedelta(seconds=(self.organisation_size - of_organisation) / self.organisation_refill),
            math.ceil(self.organisation_size / self.organisation_refill),
        )
        return Budget(
            cost,
            self.size,
            max(0, int(points)),
            now + timedelta(seconds=(self.size - points) / self.refill),
            math.ceil(self.size / self.refill),
            organisation if holder.organisation != holder.caller else None,
        )

    async def _take_points(self, holder: Holder, cost: int, *, overdraw: bool = False) -> tuple[bool, float, float]:
        """Whether the points were granted, and how many are left in each bucket."""
        untouched = True, float(self.size - cost), float(self.organisation_size - cost)
        with self._share.telling(holder) as owed:
            if time.monotonic() < self._disabled_until:
                return untouched
            try:
                granted, points, of_organisation = await self._script(
                    keys=[f"tenantry:budget:{holder.caller}", f"tenantry:budget:organisation:{holder.organisation}"],
                    args=[
                        *(cost, int(overdraw), owed),
                        *(self.size, self.refill, self.organisation_size, self.organisation_refill),
                    ],
                )
            except (RedisError, OSError) as error:
                self._disabled_until = time.monotonic() + FAILURE_BACK_OFF
                logger.warning("rate limiting disabled: broker unreachable", extra={"cause": str(error)})
                return untouched
        self._share.learn(holder, float(points), float(of_organisation))
        return bool(granted), float(points), float(of_organisation)


class RateLimiting(SchemaExtension):
    """Takes each operation's cost before its execution, and that of each event of a subscription before it is sent."""

    def __init__(self, rate_limiter: RateLimiter, replays: Replays) -> None:
        self._rate_limiter = rate_limiter
        self._replays = replays

    async def on_execute(self) -> AsyncIterator[None]:
        """Take the operation's cost from the caller's budget."""
        execution = self.execution_context
        context = execution.context
        if isinstance(context, Context) and execution.graphql_document is not None:
            cost = cost_of(execution.graphql_document, execution.operation_name, execution.variables)
            context.budget = await self._rate_limiter.take(context.holder, cost)
            context.delivery = PacedDelivery(self._rate_limiter, self._replays, context, event_cost(cost))
        yield

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:  # noqa: ARG002  # the original's signature
        """Note that an event was executed, before it is sent: a client that does not read keeps no turn."""
        if isinstance(self.execution_context.context, Context):
            self.execution_context.context.delivery.end()
        yield


class PacedDelivery:
    """Charges the events of one subscription, and lets replayed ones wait for their turn."""

    def __init__(self, rate_limiter: RateLimiter, replays: Replays, context: Context, cost: int) -> None:
        self._rate_limiter = rate_limiter
        self._replays = replays
        self._holder = context.holder
        self._cost = cost
        self._in_turn = False

    async def begin(self, *, replayed: bool) -> None:
        """Take the event's points, and wait for a turn if it is replayed."""
        await self._rate_limiter.charge(self._holder, self._cost)
        if replayed:
            await self._replays.begin(self._holder.organisation)
            self._in_turn = True

    def end(self) -> None:
        """Give the turn to the next one."""
        if self._in_turn:
            self._in_turn = False
            self._replays.end(self._holder.organisation)
