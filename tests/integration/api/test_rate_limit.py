"""The rate limit: an operation costs points of its caller's budget, which is refilled at a constant rate."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from models import Role
from server.limits import rate_limit
from tests.api import TIMEOUT, Api, Client, Facts, running_api
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
