"""An undo that hangs is reported long before the run is stuck: once, with what it waits for, whatever it hangs in."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from adapters.simulated import SimulatedDeployer
from models import Run, RunStatus, RunStep, StepStatus
from provisioning import cancellation, due_runs
from provisioning.moves import Backward
from provisioning.ports import Refused, TearDown
from provisioning.saga import UNDO_ATTEMPTS, NotYet
from tests.run_harness import RunHarness
from workers.dispatcher import Dispatcher
from workers.sweeper import Sweeper

ALARM = timedelta(minutes=2)
DELAYED = "provisioning.compensation_delayed deploy_workloads"
UNDO = Backward("deploy_workloads")
WORDS = "2 of 3 pods are terminating"


def hang(harness: RunHarness, percent: int | None = None) -> SimulatedDeployer:
    """Let every tear-down answer that it is not done."""
    deployer = harness.simulated.deployer
    assert isinstance(deployer, SimulatedDeployer)
    deployer.hanging_tear_down = TearDown(gone=False, summary=WORDS, percent=percent)
    return deployer


def undoing(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()


def let_time_pass(harness: RunHarness, time: timedelta = ALARM) -> None:
    """Move the start of the undo back."""
    with harness.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == harness.run().id, col(RunStep.compensation_started_at).is_not(None))
            .values(compensation_started_at=col(RunStep.compensation_started_at) - time)
        )


def report(harness: RunHarness) -> int:
    """Report the delayed undos of the harness's run, as a sweep does; returns how many there were."""
    delayed = harness.transact(due_runs.delayed_undos, ALARM).count(harness.run().id)
    if delayed:
        assert harness.transact(due_runs.report_delayed_undo, harness.run().id, ALARM)
    return delayed


def _polls(harness: RunHarness) -> None:
    harness.record(harness.claim(UNDO), NotYet(timedelta(seconds=1)))


def _hangs_in_a_call(harness: RunHarness) -> None:
    harness.claim(UNDO)


def _fails_and_waits(harness: RunHarness) -> None:
    harness.record_failure(harness.claim(UNDO), ConnectionError("502"))


def _lost_its_worker(harness: RunHarness) -> None:
    harness.claim(UNDO)
    harness.expire_lease()


@pytest.mark.parametrize("hangs", [_polls, _hangs_in_a_call, _fails_and_waits, _lost_its_worker])
def test_an_undo_that_takes_too_long_is_reported_once_whatever_it_hangs_in(
    harness: RunHarness, hangs: Callable[[RunHarness], None]
) -> None:
    undoing(harness)
    hangs(harness)

    early = report(harness)
    let_time_pass(harness)
    reports = [report(harness) for _ in range(3)]

    assert early == 0
    assert reports == [1, 0, 0]
    assert harness.event_lines().count(DELAYED) == 1
    assert harness.run().status is RunStatus.CANCELLING, "the undo continues"
    assert harness.step("deploy_workloads").status is StepStatus.COMPENSATING


def test_the_report_has_the_attempt_the_time_and_the_words_of_the_deployer(harness: RunHarness) -> None:
    hang(harness)
    undoing(harness)
    harness.step_runner.make_move(harness.run().id, UNDO)
    let_time_pass(harness)

    report(harness)

    data = harness.events()[-1].data
    assert ALARM.total_seconds() * 1000 <= data.pop("duration_ms") < 2 * ALARM.total_seconds() * 1000
    assert data == {
        "step": "deploy_workloads",
        "attempt": 1,
        "max_attempts": UNDO_ATTEMPTS,
        "message": WORDS,
        "error": None,
    }


def test_the_words_of_the_deployer_are_the_message_of_the_step_until_it_is_undone(harness: RunHarness) -> None:
    deployer = hang(harness, percent=40)
    undoing(harness)
    harness.step_runner.make_move(harness.run().id, UNDO)
    waiting = harness.step("deploy_workloads")
    deployer.hanging_tear_down = None

    harness.make_moves()

    undone = harness.step("deploy_workloads")
    assert (waiting.status, waiting.message, waiting.percent) == (StepStatus.COMPENSATING, WORDS, 40)
    assert (undone.status, undone.message) == (StepStatus.COMPENSATED, None)


def test_a_new_attempt_does_not_show_the_words_of_the_attempt_before(harness: RunHarness) -> None:
    hang(harness)
    undoing(harness)
    harness.step_runner.make_move(harness.run().id, UNDO)
    harness.record_failure(harness.claim(UNDO), ConnectionError("502"))

    harness.claim(UNDO)

    assert harness.step("deploy_workloads").message is None


def test_an_undo_in_time_is_not_reported(harness: RunHarness) -> None:
    undoing(harness)
    harness.make_moves()
    let_time_pass(harness)

    assert report(harness) == 0


def test_an_undo_is_reported_again_only_after_a_person_resumed_it(harness: RunHarness) -> None:
    undoing(harness)
    _polls(harness)
    let_time_pass(harness)
    report(harness)
    harness.record_failure(harness.claim(UNDO), Refused("Not yours."))
    assert harness.run().status is RunStatus.STUCK

    harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator)
    _polls(harness)
    at_once = report(harness)
    let_time_pass(harness)
    later = [report(harness), report(harness)]

    assert (at_once, later) == (0, [1, 0])
    assert harness.event_lines().count(DELAYED) == 2


def test_two_sweepers_report_an_undo_once(harness: RunHarness, caplog: pytest.LogCaptureFixture) -> None:
    undoing(harness)
    _polls(harness)
    let_time_pass(harness, timedelta(hours=1))
    dispatcher = Dispatcher(harness.settings)
    sweepers = [Sweeper(harness.database, dispatcher, harness.settings) for _ in range(2)]

    with caplog.at_level(logging.WARNING, "workers.sweeper"):
        for sweeper in sweepers:
            sweeper._warn_of_delay(harness.run().id)

    assert harness.event_lines().count(DELAYED) == 1
    (line,) = [record for record in caplog.records if record.name == "workers.sweeper"]
    assert (line.levelname, line.message) == ("WARNING", "undo is delayed")
    assert vars(line)["run"] == harness.run().id
    assert (vars(line)["step"], vars(line)["attempt"], vars(line)["max_attempts"]) == (
        "deploy_workloads",
        1,
        UNDO_ATTEMPTS,
    )


def test_a_run_that_another_transaction_has_locked_is_reported_by_a_later_sweep(harness: RunHarness) -> None:
    undoing(harness)
    _polls(harness)
    let_time_pass(harness)

    with harness.database.transaction() as session:
        session.get(Run, harness.run().id, with_for_update={"key_share": True})
        skipped = harness.transact(due_runs.report_delayed_undo, harness.run().id, ALARM)

    assert skipped is None
    assert report(harness) == 1
