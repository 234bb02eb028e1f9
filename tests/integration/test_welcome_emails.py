"""Welcome e-mails are sent again on request, but no mailbox can be flooded that way."""

from datetime import timedelta

import pytest

from models import TenantState
from provisioning import welcome_emails
from provisioning.errors import TooSoon
from provisioning.welcome_emails import MAX_REQUESTS_PER_ADDRESS, REQUEST_INTERVAL, resend_welcome_emails
from tests.run_harness import RunHarness, operator_of
from tests.tenant_states import MAIL, all_rows, bring_tenant_to

REQUESTED = "welcome_email_requested"


def request(harness: RunHarness) -> None:
    harness.transact(resend_welcome_emails, harness.tenant_id, by=harness.operator)
    harness.make_moves()


def active_tenants(harness: RunHarness, addresses: list[str]) -> list[RunHarness]:
    """A harness for each new tenant of the same organisation, with these first administrators."""
    tenants = []
    for number, address in enumerate(addresses):
        harness.create(f"shop-{number}", first_admin_email=address)
        harness.make_moves()
        tenants.append(
            RunHarness(harness.settings, harness.organisation, harness.operator, tenant_id=harness.tenant_id)
        )
    return tenants


def test_a_request_is_on_record_with_its_caller(harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    caller = operator_of(harness.organisation, "Ada Admin")

    harness.transact(resend_welcome_emails, harness.tenant_id, by=caller)

    event = harness.events()[-1]
    assert (event.type, event.data) == (f"tenant.{REQUESTED}", {})
    assert (event.actor_id, event.actor_email, event.run_id) == (caller.id, caller.email, harness.run().id)


def test_a_second_request_is_refused_for_a_while_and_changes_nothing(harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    request(harness)
    before = all_rows(harness)

    with pytest.raises(TooSoon) as refusal:
        request(harness)

    assert timedelta(0) < refusal.value.retry_after <= REQUEST_INTERVAL
    assert all_rows(harness) == before


def test_another_operator_does_not_get_around_the_interval(harness: RunHarness) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    request(harness)

    with pytest.raises(TooSoon):
        harness.transact(
            resend_welcome_emails, harness.tenant_id, by=operator_of(harness.organisation, "Another Operator")
        )


def test_a_request_is_allowed_again_after_the_interval(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    request(harness)
    monkeypatch.setattr(welcome_emails, "REQUEST_INTERVAL", timedelta(0))

    request(harness)

    assert [line for line in harness.event_lines() if line == REQUESTED] == [REQUESTED] * 2


def test_welcome_emails_that_failed_can_be_requested_at_once(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    harness.faults.fail("mailer.send", times=99)
    harness.make_moves()
    harness.faults.clear()

    request(harness)

    assert harness.event_lines()[-2:] == [REQUESTED, "welcome_email_sent"]


def test_requests_for_many_tenants_cannot_flood_one_address(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(welcome_emails, "MAX_REQUESTS_PER_ADDRESS", 2)
    one, two, three, other = active_tenants(
        harness, ["victim@shop.example", "Victim@shop.example", "victim@SHOP.example", "other@shop.example"]
    )

    request(one)
    request(two)
    with pytest.raises(TooSoon, match="2 times within an hour"):
        request(three)
    request(other)

    assert MAX_REQUESTS_PER_ADDRESS == 20
    assert REQUESTED not in three.event_lines()
    assert REQUESTED in other.event_lines()
