"""After an undo the outside is asked again: nothing may have come late, and the answers are kept."""

from datetime import timedelta

from sqlmodel import col, select

from models import AbsenceCheck, RunStatus, StepStatus, TenantState
from provisioning import commands
from provisioning.footprint import Footprint
from provisioning.moves import Forward
from provisioning.ports import Refused
from provisioning.steps import LOOKS
from runtime.database import clock
from tests.stage import Stage

CONFIRM = Forward("confirm_absence")


def looks(stage: Stage) -> list[list[str]]:
    run_id = stage.run().id
    chosen = select(AbsenceCheck.found).where(AbsenceCheck.run_id == run_id).order_by(col(AbsenceCheck.id))
    return stage.read(lambda session: [list(found) for found in session.scalars(chosen)])


def cancelled(stage: Stage) -> Footprint:
    stage.create()
    stage.play(until="await_readiness")
    stage.cancel()
    stage.play()
    assert stage.run().status is RunStatus.CANCELLED
    return Footprint(stage.tenant_id, stage.tenant().address, 1)


def test_a_cancelled_run_is_looked_after_until_a_day_later(stage: Stage) -> None:
    cancelled(stage)

    stage.play(until=None)

    assert looks(stage) == [[]] * (len(LOOKS) + 1)
    assert stage.step("confirm_absence").status is StepStatus.DONE
    assert stage.story()[-1] == "provisioning.absence_confirmed"
    assert stage.run().due_at is None


def test_the_looks_grow_apart(stage: Stage) -> None:
    cancelled(stage)
    waits = []

    for _ in LOOKS:
        stage.pass_time()
        stage.mover.make_move(stage.run().id, CONFIRM)
        due = stage.run().due_at
        assert due is not None
        waits.append(due - stage.read(clock))

    assert all(
        timedelta(0) <= planned - wait < timedelta(seconds=20) for planned, wait in zip(LOOKS, waits, strict=True)
    )


def test_what_comes_late_is_told_and_removed(stage: Stage) -> None:
    footprint = cancelled(stage)
    stage.genuine.holdings.forget_destruction()
    stage.genuine.identity.create(footprint, "late@shop.example")

    stage.play(until=None)

    assert looks(stage)[0] == [footprint.signing_key, footprint.account]
    assert looks(stage)[1:] == [[]] * len(LOOKS)
    assert stage.outside() == []
    assert stage.story().count("provisioning.drift_found") == 1


def test_an_outside_that_cannot_be_asked_confirms_nothing(stage: Stage) -> None:
    cancelled(stage)
    stage.faults.fail("identity.present")

    stage.pass_time()
    stage.mover.make_move(stage.run().id, CONFIRM)

    assert looks(stage) == []
    assert stage.story()[-1] == "provisioning.absence_unconfirmed"
    stage.play(until=None)
    assert stage.step("confirm_absence").status is StepStatus.DONE


def test_an_adapter_that_cannot_be_asked_hides_nothing_of_the_others(stage: Stage) -> None:
    footprint = cancelled(stage)
    stage.genuine.holdings.forget_destruction()
    stage.genuine.storage.create(footprint)
    stage.faults.fail("deployer.present", times=2, error=Refused("Who are you?"))

    stage.play(until=None)

    assert set(looks(stage)[0]) == {footprint.schema, footprint.role}
    assert stage.outside() == []
    assert stage.step("confirm_absence").status is StepStatus.DONE


def test_what_does_not_go_away_is_told_once(stage: Stage) -> None:
    footprint = cancelled(stage)
    stage.genuine.holdings.forget_destruction()
    stage.genuine.identity.create(footprint, "late@shop.example")
    stage.faults.fail("identity.destroy", times=4)

    for _ in range(3):
        stage.pass_time()
        stage.mover.make_move(stage.run().id, CONFIRM)

    assert len(looks(stage)) == 3
    assert stage.story().count("provisioning.drift_found") == 1


def test_looking_again_disturbs_no_later_run(stage: Stage) -> None:
    cancelled(stage)
    first = stage.run().id
    stage.retry()
    stage.play()
    held = stage.outside()

    stage.mover.make_move(first, CONFIRM)

    assert stage.tenant().state is TenantState.ACTIVE
    assert stage.outside() == held


def test_a_decommissioned_tenant_is_looked_after_too(stage: Stage) -> None:
    stage.create()
    stage.play()
    stage.do(commands.decommission_tenant, stage.tenant_id, by=stage.operator, confirm_slug="shop")
    stage.play(until=None)

    assert stage.run().status is RunStatus.DECOMMISSIONED
    assert looks(stage) == [[]] * (len(LOOKS) + 1)


def test_a_live_tenant_is_not_asked_about(stage: Stage) -> None:
    stage.create()
    stage.play(until=None)

    assert stage.tenant().state is TenantState.ACTIVE
    assert looks(stage) == []
