"""A caller spends points, they flow back, and while the broker is away nothing is refused for it."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from models import Role
from server.limits import rate_limit
from tests.api import PATIENCE, Api, Client, Facts, api_in
from tests.run_harness import RunHarness
from tests.waiting import wait_until

BUDGET = "{ rateLimit { cost limit remaining resetAt } }"
HUNDRED = "{ tenants(first: 99) { totalCount } }"


@pytest.fixture
def tight(harness: RunHarness, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API whose callers have 100 points, and get one back each second. It counts on a busy machine too."""
    monkeypatch.setattr(rate_limit, "WITHIN", PATIENCE)
    with api_in(harness.settings.model_copy(update={"budget": 100, "budget_refill": 1})) as running:
        yield running


def budget(client: Client) -> Facts:
    found: Facts = client.ask(BUDGET)["rateLimit"]
    return found


def flowed_back(began: float) -> int:
    """Points that have flowed back since then, at the most: one each second."""
    return math.ceil(time.monotonic() - began)


def test_a_caller_sees_what_an_operation_took_and_what_is_left(tight: Api, harness: RunHarness) -> None:
    owner, began = tight.person(harness.organisation.id), time.monotonic()

    first, second = budget(owner), budget(owner)

    assert (first["cost"], first["limit"], first["remaining"]) == (5, 100, 95)
    assert 90 <= second["remaining"] <= 90 + flowed_back(began)
    assert datetime.fromisoformat(second["resetAt"]) > datetime.now(UTC)


def test_whoever_spent_all_is_told_when_to_come_back_and_others_are_not_concerned(
    tight: Api, harness: RunHarness
) -> None:
    owner, admin = tight.person(harness.organisation.id), tight.person(harness.organisation.id, Role.ADMIN)
    began = time.monotonic()
    owner.ask(HUNDRED)

    refused = owner.post(HUNDRED)
    waited = flowed_back(began)

    (error,) = refused.json()["errors"]
    assert refused.status_code == 429
    assert 100 - waited <= int(refused.headers["Retry-After"]) <= 100
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert refused.json().keys() == {"errors"}
    assert admin.ask(HUNDRED)


def test_points_flow_back(tight: Api, harness: RunHarness) -> None:
    owner = tight.person(harness.organisation.id)
    owner.ask(HUNDRED)

    wait_until(lambda: owner.post("{ viewer { scopes } }").status_code == 200)


def test_what_no_bucket_holds_is_too_complex(tight: Api, harness: RunHarness) -> None:
    error = tight.person(harness.organisation.id).error("{ tenants(first: 100) { nodes { slug } } }")

    assert error["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"


def test_two_processes_count_together(tight: Api, harness: RunHarness) -> None:
    with api_in(tight.settings) as second:
        owner, began = tight.person(harness.organisation.id), time.monotonic()
        budget(owner)
        same = Client(second.address, owner.authorization)

        assert 90 <= budget(same)["remaining"] <= 90 + flowed_back(began)


def test_a_subscription_and_a_query_over_a_socket_are_counted_too(tight: Api, harness: RunHarness) -> None:
    owner = tight.person(harness.organisation.id)
    owner.ask(HUNDRED)

    with owner.subscribed("subscription { auditEventAdded { type actor { kind } tenant { slug } } }") as subscription:
        message = subscription.message()

    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "RATE_LIMITED"


def test_without_a_broker_nothing_is_counted_and_nothing_refused(harness: RunHarness) -> None:
    nowhere = {"redis_url": "redis://127.0.0.1:1/0", "budget": 100, "budget_refill": 1}
    with api_in(harness.settings.model_copy(update=nowhere)) as api:
        owner = api.person(harness.organisation.id)

        assert all(owner.post(HUNDRED).status_code == 200 for _ in range(3))
        assert budget(owner)["remaining"] == 95
