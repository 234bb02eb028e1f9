"""The rate limit: an operation costs points of its caller's budget, which is refilled at a constant rate."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from models import Role
from runtime.connection_shares import Holder
from server.limits import local_share, rate_limit
from server.limits.rate_limit import RateLimiter
from tests.api import TIMEOUT, Api, Client, Facts, running_api, tenant_gid
from tests.run_harness import RunHarness
from tests.waiting import wait_until

BUDGET = "{ rateLimit { cost limit remaining resetAt } }"
COSTS_100_POINTS = "{ tenants(first: 99) { totalCount } }"


@pytest.fixture
def limited(harness: RunHarness, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API with a budget of 100 points per caller and a refill of one point per second.

    It waits for the broker as long as a client waits, so that it counts on a busy machine too.
    """
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT", TIMEOUT)
    with running_api(harness.settings.model_copy(update={"budget": 100, "budget_refill": 1})) as running:
        yield running


def budget(client: Client) -> Facts:
    points: Facts = client.execute(BUDGET)["rateLimit"]
    return points


def max_refill_since(began: float) -> int:
    """The most points that may have been refilled since ``began``, at one per second."""
    return math.ceil(time.monotonic() - began)


def test_a_caller_reads_the_cost_of_an_operation_and_the_remaining_points(limited: Api, harness: RunHarness) -> None:
    owner, began = limited.member(harness.organisation.id), time.monotonic()

    first, second = budget(owner), budget(owner)

    assert (first["cost"], first["limit"], first["remaining"]) == (5, 100, 95)
    assert 90 <= second["remaining"] <= 90 + max_refill_since(began)
    assert datetime.fromisoformat(second["resetAt"]) > datetime.now(UTC)


def test_a_caller_without_points_gets_retry_after_while_others_are_served(limited: Api, harness: RunHarness) -> None:
    owner, admin = limited.member(harness.organisation.id), limited.member(harness.organisation.id, Role.ADMIN)
    began = time.monotonic()
    owner.execute(COSTS_100_POINTS)

    refused = owner.post(COSTS_100_POINTS)
    refilled = max_refill_since(began)

    (error,) = refused.json()["errors"]
    assert refused.status_code == 429
    assert 100 - refilled <= int(refused.headers["Retry-After"]) <= 100
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert refused.json().keys() == {"errors"}
    assert admin.execute(COSTS_100_POINTS)


def test_spent_points_are_refilled(limited: Api, harness: RunHarness) -> None:
    owner = limited.member(harness.organisation.id)
    owner.execute(COSTS_100_POINTS)

    wait_until(lambda: owner.post("{ viewer { scopes } }").status_code == 200)


def test_an_operation_that_costs_more_than_the_whole_budget_is_too_complex(limited: Api, harness: RunHarness) -> None:
    error = limited.member(harness.organisation.id).error("{ tenants(first: 100) { nodes { slug } } }")

    assert error["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"


def test_two_processes_share_the_budget_of_a_caller(limited: Api, harness: RunHarness) -> None:
    with running_api(limited.settings) as second:
        owner, began = limited.member(harness.organisation.id), time.monotonic()
        budget(owner)
        same = Client(second.address, owner.authorization)

        assert 90 <= budget(same)["remaining"] <= 90 + max_refill_since(began)


def test_points_that_a_process_grants_by_itself_are_taken_soon(
    harness: RunHarness, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT", TIMEOUT)
    asked: list[tuple[int, int]] = []
    take = RateLimiter._take_points  # observes the calls

    async def observed(limiter: RateLimiter, holder: Holder, cost: int, *, overdraw: bool = False) -> object:
        asked.append((cost, limiter._share._owed[holder]))  # the same
        return await take(limiter, holder, cost, overdraw=overdraw)

    monkeypatch.setattr(RateLimiter, "_take_points", observed)
    slow = {"budget": 10_000, "budget_refill": 1, "organisation_budget": 10_000, "organisation_budget_refill": 1}
    slow_settings = harness.settings.model_copy(update=slow)
    with running_api(slow_settings) as first, running_api(slow_settings) as second:
        owner, began = first.member(harness.organisation.id), time.monotonic()
        same = Client(second.address, owner.authorization)
        left = [budget(owner)["remaining"] for _ in range(40)]
        wait_until(lambda: sum(sum(points) for points in asked) >= 200)
        seen_by_another = budget(same)["remaining"]

    assert len(asked) < 35  # one at first, and one for all that were granted in a tenth of a second
    assert all(10_000 - 5 * n <= points <= 10_000 - 5 * n + max_refill_since(began) for n, points in enumerate(left, 1))
    assert 9_795 <= seen_by_another <= 9_795 + max_refill_since(began)


def test_points_that_are_owed_are_taken_before_a_process_ends(
    harness: RunHarness, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT", TIMEOUT)
    monkeypatch.setattr(rate_limit, "OWED_FOR", 3600)
    monkeypatch.setattr(local_share, "KNOWN_FOR", 3600)  # so that all but the first are granted by the process itself
    slow = {"budget": 10_000, "budget_refill": 1, "organisation_budget": 10_000, "organisation_budget_refill": 1}
    slow_settings = harness.settings.model_copy(update=slow)
    with running_api(slow_settings) as first:
        owner, began = first.member(harness.organisation.id), time.monotonic()
        for _ in range(10):
            budget(owner)
    with running_api(slow_settings) as second:
        remaining = budget(Client(second.address, owner.authorization))["remaining"]

    assert 9_945 <= remaining <= 9_945 + max_refill_since(began)


def test_an_operation_over_a_websocket_costs_points_too(limited: Api, harness: RunHarness) -> None:
    owner = limited.member(harness.organisation.id)
    owner.execute(COSTS_100_POINTS)

    with owner.subscribed("subscription { auditEventAdded { type actor { kind } tenant { slug } } }") as subscription:
        message = subscription.message()

    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "RATE_LIMITED"


def test_while_the_broker_is_unreachable_no_points_are_counted_and_nothing_is_refused(harness: RunHarness) -> None:
    unreachable = {"redis_url": "redis://127.0.0.1:1/0", "budget": 100, "budget_refill": 1}
    with running_api(harness.settings.model_copy(update=unreachable)) as api:
        owner = api.member(harness.organisation.id)

        assert all(owner.post(COSTS_100_POINTS).status_code == 200 for _ in range(3))
        assert budget(owner)["remaining"] == 95


@pytest.fixture
def limited_organisation(harness: RunHarness, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API with a budget of 200 points per organisation and a refill of one point per second."""
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT", TIMEOUT)
    low = {"organisation_budget": 200, "organisation_budget_refill": 1, "budget_refill": 1}
    with running_api(harness.settings.model_copy(update=low)) as running:
        yield running


def test_an_organisation_gains_no_budget_by_more_accounts(
    limited_organisation: Api, harness: RunHarness, other: RunHarness
) -> None:
    api = limited_organisation
    accounts = [api.service_account(harness.organisation.id, "tenants:read") for _ in range(8)]
    bystander = api.member(other.organisation.id)

    statuses = [account.post(COSTS_100_POINTS).status_code for account in accounts]
    refused = accounts[-1].post(COSTS_100_POINTS)

    assert statuses == [200, 200] + [429] * 6
    assert "your organisation has" in refused.json()["errors"][0]["message"]
    assert 90 <= int(refused.headers["Retry-After"]) <= 100
    assert refused.json()["errors"][0]["extensions"]["retryAfter"] == int(refused.headers["Retry-After"])
    assert bystander.post(COSTS_100_POINTS).status_code == 200


def test_an_operation_may_cost_only_a_part_of_a_large_budget(harness: RunHarness, redis_url: str) -> None:
    with running_api(harness.settings.model_copy(update={"operation_cost": 100})) as api:
        owner = api.member(harness.organisation.id)

        assert owner.post(COSTS_100_POINTS).status_code == 200
        assert "at most 100" in owner.error("{ tenants(first: 100) { totalCount } }")["message"]


def test_each_event_that_a_subscription_delivers_is_charged(limited: Api, harness: RunHarness) -> None:
    owner, began = limited.member(harness.organisation.id), time.monotonic()
    harness.create()
    harness.make_moves()
    document = (
        "subscription ($id: ID!) { tenantProvisioning(tenantId: $id) { cursor kind step message run { number } } }"
    )

    with owner.subscribed(document, id=tenant_gid(harness.tenant_id)) as subscription:
        delivered = len(subscription.until_complete())

    price = 2  # a quarter of the subscription's 7 points, rounded up
    charged = delivered * price // 10 * 10  # a process takes the points of some events together
    assert charged >= 20
    assert budget(owner)["remaining"] <= 100 - 7 - charged - 5 + max_refill_since(began)


def test_a_subscription_waits_for_points_and_loses_no_event(
    harness: RunHarness, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT", TIMEOUT)
    harness.create()
    harness.make_moves()
    fields = " ".join(f"a{number}: message" for number in range(29))
    document = f"subscription ($id: ID!) {{ tenantProvisioning(tenantId: $id) {{ sequence {fields} }} }}"
    variables = {"id": tenant_gid(harness.tenant_id)}

    with running_api(harness.settings.model_copy(update={"budget": 100, "budget_refill": 60})) as api:
        owner, began = api.member(harness.organisation.id), time.monotonic()
        with owner.subscribed(document, **variables) as subscription:
            delivered = subscription.until_complete()
        took = time.monotonic() - began

    sequences = [entry["sequence"] for entry in delivered if entry["sequence"] is not None]
    assert sequences == sorted(set(sequences))
    # Each costs 8 points; 169 are there at first, for the budget may be overdrawn by its size once.
    assert took > (8 * len(delivered) - 16 - 169) / 60
