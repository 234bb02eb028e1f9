"""After an undo the outside is asked again: nothing may have come late, and the answers are kept."""

from datetime import timedelta

from sqlmodel import col, select

from models import AbsenceCheck, RunStatus, StepStatus, TenantState
from provisioning import commands
from provisioning.moves import Forward
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from provisioning.steps import ABSENCE_CHECK_DELAYS
from runtime.database import clock
from tests.run_harness import RunHarness

CONFIRM = Forward("confirm_absence")


def looks(harness: RunHarness) -> list[list[str]]:
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


def test_a_cancelled_run_is_looked_after_until_a_day_later(harness: RunHarness) -> None:
    cancelled(harness)

    harness.make_moves(until=None)

    assert looks(harness) == [[]] * (len(ABSENCE_CHECK_DELAYS) + 1)
    assert harness.step("confirm_absence").status is StepStatus.DONE
    assert harness.event_lines()[-1] == "provisioning.absence_confirmed"
    assert harness.run().due_at is None


def test_the_looks_grow_apart(harness: RunHarness) -> None:
    cancelled(harness)
    waits = []

    for _ in ABSENCE_CHECK_DELAYS:
        harness.end_waits()
        harness.step_runner.make_move(harness.run().id, CONFIRM)
        due = harness.run().due_at
        assert due is not None
        waits.append(due - harness.read(clock))

    assert all(
        timedelta(0) <= planned - wait < timedelta(seconds=20)
        for planned, wait in zip(ABSENCE_CHECK_DELAYS, waits, strict=True)
    )


def test_what_comes_late_is_told_and_removed(harness: RunHarness) -> None:
    names = cancelled(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.identity.create(names, "late@shop.example")

    harness.make_moves(until=None)

    assert looks(harness)[0] == [names.signing_key, names.account]
    assert looks(harness)[1:] == [[]] * len(ABSENCE_CHECK_DELAYS)
    assert harness.existing_resources() == []
    assert harness.event_lines().count("provisioning.drift_found") == 1


def test_an_outside_that_cannot_be_asked_confirms_nothing(harness: RunHarness) -> None:
    cancelled(harness)
    harness.faults.fail("identity.present")

    harness.end_waits()
    harness.step_runner.make_move(harness.run().id, CONFIRM)

    assert looks(harness) == []
    assert harness.event_lines()[-1] == "provisioning.absence_unconfirmed"
    harness.make_moves(until=None)
    assert harness.step("confirm_absence").status is StepStatus.DONE


def test_an_adapter_that_cannot_be_asked_hides_nothing_of_the_others(harness: RunHarness) -> None:
    names = cancelled(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.storage.create(names)
    harness.faults.fail("deployer.present", times=2, error=Refused("Who are you?"))

    harness.make_moves(until=None)

    assert set(looks(harness)[0]) == {names.schema, names.role}
    assert harness.existing_resources() == []
    assert harness.step("confirm_absence").status is StepStatus.DONE


def test_what_does_not_go_away_is_told_once(harness: RunHarness) -> None:
    names = cancelled(harness)
    harness.simulated.holdings.forget_destruction()
    harness.simulated.identity.create(names, "late@shop.example")
    harness.faults.fail("identity.destroy", times=4)

    for _ in range(3):
        harness.end_waits()
        harness.step_runner.make_move(harness.run().id, CONFIRM)

    assert len(looks(harness)) == 3
    assert harness.event_lines().count("provisioning.drift_found") == 1


def test_looking_again_disturbs_no_later_run(harness: RunHarness) -> None:
    cancelled(harness)
    first = harness.run().id
    harness.retry()
    harness.make_moves()
    held = harness.existing_resources()

    harness.step_runner.make_move(first, CONFIRM)

    assert harness.tenant().state is TenantState.ACTIVE
    assert harness.existing_resources() == held


def test_a_decommissioned_tenant_is_looked_after_too(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves()
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")
    harness.make_moves(until=None)

    assert harness.run().status is RunStatus.DECOMMISSIONED
    assert looks(harness) == [[]] * (len(ABSENCE_CHECK_DELAYS) + 1)


def test_a_live_tenant_is_not_asked_about(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=None)

    assert harness.tenant().state is TenantState.ACTIVE
    assert looks(harness) == []
