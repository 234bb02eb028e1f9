"""Absence checks after an undo find and remove resources that appeared late, and their results are kept."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from models import AbsenceCheck, RunStatus, StepStatus, TenantState
from provisioning import commands, ledger
from provisioning.moves import Forward
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped
from provisioning.steps import ABSENCE_CHECK_DELAYS
from runtime.database import Database, clock
from tests.run_harness import RunHarness, recorded_statements

CONFIRM = Forward("confirm_absence")


def found_by_checks(harness: RunHarness) -> list[list[str]]:
    run_id = harness.run().id
    chosen = select(AbsenceCheck.found).where(AbsenceCheck.run_id == run_id).order_by(col(AbsenceCheck.id))
    return harness.read(lambda session: [list(found) for found in session.scalars(chosen)])


def cancelled(harness: RunHarness) -> ResourceNames:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    harness.make_moves()
    assert harness.run().status is RunStatus.CANCELLED
    return ResourceNames(harness.tenant_id, harness.tenant().address, 1)


def test_a_cancelled_run_is_checked_for_absence_until_a_day_later(harness: RunHarness) -> None:
    cancelled(harness)

    harness.make_moves(until=None)

    assert found_by_checks(harness) == [[]] * (len(ABSENCE_CHECK_DELAYS) + 1)
    assert harness.step("confirm_absence").status is StepStatus.DONE
    assert harness.event_lines()[-1] == "provisioning.absence_confirmed"
    assert harness.run().due_at is None


def test_the_intervals_of_absence_checks_grow(harness: RunHarness) -> None:
    cancelled(harness)
    delays = []

    for _ in ABSENCE_CHECK_DELAYS:
        harness.end_waits()
        harness.step_runner.make_move(harness.run().id, CONFIRM)
        due = harness.run().due_at
        assert due is not None
        delays.append(due - harness.read(clock))

    assert all(
        timedelta(0) <= planned - delay < timedelta(seconds=20)
        for planned, delay in zip(ABSENCE_CHECK_DELAYS, delays, strict=True)
    )


def test_a_late_resource_is_reported_as_drift_and_removed(harness: RunHarness) -> None:
    names = cancelled(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.identity.create(names, "late@shop.example")

    harness.make_moves(until=None)

    assert found_by_checks(harness)[0] == [names.signing_key, names.account]
    assert found_by_checks(harness)[1:] == [[]] * len(ABSENCE_CHECK_DELAYS)
    assert harness.existing_resources() == []
    assert harness.event_lines().count("provisioning.drift_found") == 1


def test_an_absence_check_that_finds_nothing_is_recorded_in_one_statement(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled(harness)
    claim = harness.claim(CONFIRM)

    with recorded_statements(harness, monkeypatch) as statements:
        harness.perform(claim)

    assert statements == [ledger.RECORD_ABSENCE_CHECK]


@pytest.mark.parametrize("late", [False, True])
def test_an_absence_check_with_a_lost_reply_is_recorded_and_told_once(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    names = cancelled(harness)
    if late:
        harness.simulated.holdings.forget_destruction()
        harness.simulated.identity.create(names, "late@shop.example")
    claim = harness.claim(CONFIRM)

    for name in ("execute", "transact"):
        monkeypatch.setattr(Database, name, repeated(getattr(Database, name)))
    harness.perform(claim)

    monkeypatch.undo()
    assert len(found_by_checks(harness)) == 1
    assert harness.event_lines().count("provisioning.drift_found") == int(late)


def repeated(original: Callable[..., Any]) -> Callable[..., Any]:
    """The same, done twice, as when the first reply was lost after the commit."""

    def twice(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        return original(*args, **kwargs)

    return twice


def test_an_absence_check_without_its_claim_records_nothing(harness: RunHarness) -> None:
    cancelled(harness)
    lost = harness.claim(CONFIRM)
    harness.expire_lease()
    harness.claim(CONFIRM)

    with pytest.raises(StepStopped):
        harness.perform(lost)

    assert found_by_checks(harness) == []


def test_an_absence_check_that_fails_confirms_nothing(harness: RunHarness) -> None:
    cancelled(harness)
    harness.faults.fail("identity.present")

    harness.end_waits()
    harness.step_runner.make_move(harness.run().id, CONFIRM)

    assert found_by_checks(harness) == []
    assert harness.event_lines()[-1] == "provisioning.absence_unconfirmed"
    harness.make_moves(until=None)
    assert harness.step("confirm_absence").status is StepStatus.DONE


def test_an_absence_check_reports_what_other_adapters_find_when_one_refuses(harness: RunHarness) -> None:
    names = cancelled(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.storage.create(names)
    harness.faults.fail("deployer.present", times=2, error=Refused("Access denied."))

    harness.make_moves(until=None)

    assert set(found_by_checks(harness)[0]) == {names.schema, names.role}
    assert harness.existing_resources() == []
    assert harness.step("confirm_absence").status is StepStatus.DONE


def test_a_resource_that_cannot_be_removed_is_reported_as_drift_once(harness: RunHarness) -> None:
    names = cancelled(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.identity.create(names, "late@shop.example")
    harness.faults.fail("identity.destroy", times=4)

    for _ in range(3):
        harness.end_waits()
        harness.step_runner.make_move(harness.run().id, CONFIRM)

    assert len(found_by_checks(harness)) == 3
    assert harness.event_lines().count("provisioning.drift_found") == 1


def test_an_absence_check_leaves_the_resources_of_a_later_run(harness: RunHarness) -> None:
    cancelled(harness)
    first = harness.run().id
    harness.retry()
    harness.make_moves()
    held = harness.existing_resources()

    harness.step_runner.make_move(first, CONFIRM)

    assert harness.tenant().state is TenantState.ACTIVE
    assert harness.existing_resources() == held


def test_a_decommissioned_tenant_is_checked_for_absence(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves()
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")
    harness.make_moves(until=None)

    assert harness.run().status is RunStatus.DECOMMISSIONED
    assert found_by_checks(harness) == [[]] * (len(ABSENCE_CHECK_DELAYS) + 1)


def test_an_active_tenant_is_not_checked_for_absence(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=None)

    assert harness.tenant().state is TenantState.ACTIVE
    assert found_by_checks(harness) == []
