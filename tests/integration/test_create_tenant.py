"""Creating a tenant: its first run, defaults, refused values, slugs and addresses in use, and the plan's limit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from models import RunKind, RunStatus, TenantState
from provisioning import commands
from provisioning.errors import Malformed, QuotaExceeded, Taken
from runtime.settings import settings
from tests.run_harness import RunHarness, recorded_statements, run_harness_in
from tests.tenant_states import all_rows, tenants_of
from tests.waiting import wait_until_blocked


def test_a_tenant_and_its_first_run_are_created_in_one_transaction(harness: RunHarness) -> None:
    change = harness.create(name=" The Shop ", region="us-east")

    assert change.run is not None
    assert (change.run.number, change.run.kind, change.run.status) == (1, RunKind.PROVISION, RunStatus.QUEUED)
    assert harness.tenant().state is TenantState.PROVISIONING
    assert harness.tenant().name == "The Shop"
    assert harness.event_lines() == ["created", "provisioning.started"]
    assert [event.actor_email for event in harness.events()] == [harness.operator.email] * 2
    assert harness.events()[0].data == {
        "slug": "shop",
        "name": "The Shop",
        "region": "us-east",
        "plan": "starter",
        "first_admin_email": "first@shop.example",
        "provisioning_deadline_s": None,
    }
    assert harness.events()[1].data == {
        "run_number": 1,
        "slug": "shop",
        "plan": "starter",
        "requested_by": harness.operator.email,
    }
    assert [wake_up.move.step for wake_up in harness.wake_ups] == ["validate_request"]


def test_a_tenant_can_be_created_without_being_provisioned(harness: RunHarness) -> None:
    change = harness.create(start=False)

    assert change.run is None
    assert harness.tenant().state is TenantState.PENDING
    assert harness.event_lines() == ["created"]
    assert harness.wake_ups == []


def test_a_missing_name_and_region_get_their_defaults(harness: RunHarness) -> None:
    harness.create(start=False)

    assert (harness.tenant().name, harness.tenant().region) == ("shop", harness.settings.default_region)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"slug": "Shop"}, "slug"),
        ({"slug": "admin"}, "slug"),
        ({"slug": "x" * 41}, "slug"),
        ({"name": "x" * 81}, "name"),
        ({"region": "moon"}, "region"),
        ({"plan": "gold"}, "plan"),
        ({"first_admin_email": "no-address"}, "first_admin_email"),
        ({"provisioning_deadline": timedelta(milliseconds=999)}, "provisioning_deadline"),
        ({"provisioning_deadline": timedelta(days=30, seconds=1)}, "provisioning_deadline"),
    ],
    ids=str,
)
def test_an_invalid_value_is_refused_with_its_field_and_creates_nothing(
    harness: RunHarness, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        harness.create(**wanted)

    assert refusal.value.field == field
    assert tenants_of(harness) == []


def test_an_address_that_does_not_fit_into_a_dns_label_is_refused(harness: RunHarness) -> None:
    rename(harness, f"org-{uuid4().hex}")
    harness.create(slug="s" * 26)

    with pytest.raises(Malformed, match="has more than 63 characters"):
        harness.create(slug="s" * 27)

    assert len(tenants_of(harness)) == 1


def test_a_slug_in_use_is_taken(harness: RunHarness) -> None:
    harness.create(start=False)
    before = all_rows(harness)

    with pytest.raises(Taken) as refusal:
        harness.create(start=False)

    assert (refusal.value.field, refusal.value.value) == ("slug", "shop")
    assert all_rows(harness) == before
    assert len(tenants_of(harness)) == 1


def test_two_creates_racing_for_a_slug_make_one_tenant(harness: RunHarness) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(harness.create, start=False) for _ in range(8)]

    refusals = [answer.exception() for answer in answers if answer.exception()]
    assert len(refusals) == 7
    assert {type(refusal) for refusal in refusals} == {Taken}
    assert len(tenants_of(harness)) == 1


def test_a_slug_that_leads_to_an_address_in_use_is_refused(database_url: str) -> None:
    tail = f"c{uuid4().hex[:8]}"
    with run_harness_in(settings()) as one, run_harness_in(settings()) as other:
        rename(one, f"b-{tail}")
        rename(other, tail)
        one.create(slug="aa", start=False)

        with pytest.raises(Taken) as refusal:
            other.create(slug="aa-b", start=False)

        assert refusal.value.value == "aa-b"
        assert tenants_of(other) == []


def rename(harness: RunHarness, slug: str) -> None:
    harness.organisation.slug = slug
    with harness.database.transaction() as session:
        session.merge(harness.organisation)


def test_a_plan_limits_the_number_of_tenants(database_url: str) -> None:
    with run_harness_in(settings(), plan="free") as harness:
        for number in range(3):
            harness.create(slug=f"shop-{number}")

        with pytest.raises(QuotaExceeded) as refusal:
            harness.create(slug="shop-3")

        assert (refusal.value.used, refusal.value.allowed) == (3, 3)
        assert len(tenants_of(harness)) == 3
        harness.cancel()
        harness.create(slug="shop-3")


def test_two_simultaneous_creates_cannot_both_use_the_last_of_the_quota(database_url: str) -> None:
    with run_harness_in(settings(), plan="free") as harness:
        harness.create(slug="shop-0")
        harness.create(slug="shop-1")
        order = commands.NewTenant(slug="shop-2", plan="free", first_admin_email="a@b.example")
        facts: dict[str, Any] = {
            "organisation_id": harness.organisation.id,
            "by": harness.operator,
            "regions": harness.settings.regions,
        }

        with ThreadPoolExecutor() as pool:
            with harness.database.transaction() as session:
                commands.create_tenant(session, order, **facts)
                other = pool.submit(harness.create, slug="shop-3")
                wait_until_blocked(other, database_url)
            refusal = other.exception(timeout=10)

        assert isinstance(refusal, QuotaExceeded)
        assert sorted(tenant.slug for tenant in tenants_of(harness)) == ["shop-0", "shop-1", "shop-2"]


def test_creating_a_tenant_takes_six_statements(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded_statements(harness, monkeypatch) as statements:
        harness.create()

    assert len(statements) == 6, statements


def test_a_limit_is_locked_and_then_counted_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_harness_in(settings(), plan="free") as harness, recorded_statements(harness, monkeypatch) as statements:
        harness.create()

    assert len(statements) == 8, statements
    [counted] = [number for number, statement in enumerate(statements) if "count_tenants" in statement]
    assert "SELECT organisations.id" in statements[counted - 1]


def test_a_retry_takes_nine_statements(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.create(start=False)
    with recorded_statements(harness, monkeypatch) as statements:
        harness.retry()

    assert len(statements) == 9, statements


def test_a_cancel_takes_seven_statements(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.create()
    with recorded_statements(harness, monkeypatch) as statements:
        harness.cancel()

    assert len(statements) == 7, statements
