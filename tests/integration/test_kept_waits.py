"""A worker keeps a step that waits: a poll that finds nothing new writes nothing, and every end is recorded."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
from dramatiq.middleware import Shutdown
from sqlalchemy import update
from sqlmodel import col

from models import RunStatus, RunStep, StepStatus, TenantState
from provisioning import engine
from provisioning.events import CANCEL_CHANNEL
from provisioning.moves import Backward, Forward
from provisioning.ports import Health
from provisioning.saga import NotYet
from provisioning.step_context import StopReason
from runtime.settings import HintCarrier
from tests.builders import settings_with
from tests.run_harness import RunHarness, recorded_statements
from tests.waiting import wait_until
from tests.worker_pool import worker_pool_for
from workers.cancel_listener import CancelListener
from workers.group_commit import GroupCommit
from workers.kept_waits import KeptWait, KeptWaits
from workers.redis_hints import channel_of, hint_sender

UNDO = Backward("deploy_workloads")
SOON = NotYet(timedelta(seconds=1))


@dataclass
class Kept:
    """The waits that the step runner has kept. The test makes the polls."""

    has_room: bool = True
    waits: list[tuple[KeptWait, timedelta]] = field(default_factory=list)
    error: BaseException | None = None
    """Raised after the next waits are kept."""

    def keep(self, wait: KeptWait, after: timedelta) -> None:
        self.waits.append((wait, after))
        if self.error is not None:
            raise self.error

    @property
    def only(self) -> KeptWait:
        [(wait, _)] = self.waits
        return wait


@pytest.fixture
def kept(harness: RunHarness) -> Kept:
    made: Any = Kept()
    harness.step_runner.kept_waits = {Forward: made, Backward: made}
    kept: Kept = made
    return kept


@dataclass
class Readiness:
    """The answers of the deployer about a workload: not ready until the test says so."""

    ready: bool = False
    gone: bool = False
    asked: int = 0

    def health(self, *_: object) -> Health:
        self.asked += 1
        return Health(ready=self.ready, percent=100 if self.ready else 10, summary="starting")

    def tear_down(self, *_: object) -> bool:
        self.asked += 1
        return self.gone


@pytest.fixture
def readiness(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> Readiness:
    answers = Readiness()
    monkeypatch.setattr(harness.simulated.deployer, "health", answers.health)
    return answers


def wait_for_readiness(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.step_runner.make_move(harness.run().id, Forward("await_readiness"))


def wait_for_tear_down(harness: RunHarness, readiness: Readiness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    monkeypatch.setattr(harness.simulated.deployer, "tear_down", readiness.tear_down)
    harness.step_runner.make_move(harness.run().id, UNDO)


def test_a_hundred_polls_that_find_nothing_new_execute_no_statement(
    harness: RunHarness, kept: Kept, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_readiness(harness)
    [(wait, after)] = kept.waits
    before = harness.run(), harness.step("await_readiness")

    with recorded_statements(harness, monkeypatch) as statements:
        polls = [harness.step_runner.poll_again(wait) for _ in range(100)]

    assert statements == []
    assert polls == [after] * 100 == [timedelta(seconds=2)] * 100
    assert readiness.asked == 101
    assert (harness.run(), harness.step("await_readiness")) == before


def test_the_first_poll_keeps_the_lease_and_the_next_one_is_of_the_same_attempt(
    harness: RunHarness, kept: Kept, readiness: Readiness
) -> None:
    wait_for_readiness(harness)

    run, step = harness.run(), harness.step("await_readiness")
    assert run.lease_token == kept.only.claim.token
    assert run.due_at == run.lease_until
    assert step.next_attempt_at is not None
    assert (step.status, step.attempts, step.message) == (StepStatus.RUNNING, 1, "starting")
    assert not kept.only.claim.starts_attempt
    assert not readiness.ready


def test_new_progress_is_written_once(
    harness: RunHarness, kept: Kept, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_readiness(harness)
    percents = iter([20, 20, 20])
    monkeypatch.setattr("provisioning.step_journal.PROGRESS_INTERVAL", 0)
    monkeypatch.setattr(
        harness.simulated.deployer, "health", lambda *_: Health(ready=False, percent=next(percents), summary="pulling")
    )

    with recorded_statements(harness, monkeypatch) as statements:
        for _ in range(3):
            harness.step_runner.poll_again(kept.only)

    assert len(statements) == 1
    assert (harness.step("await_readiness").percent, harness.step("await_readiness").message) == (20, "pulling")
    assert readiness.asked == 1


@pytest.mark.parametrize("grouped", [False, True])
def test_a_poll_that_finds_the_goal_records_it_and_wakes_a_worker(
    harness: RunHarness,
    kept: Kept,
    readiness: Readiness,
    grouped: bool,  # noqa: FBT001  # with the group or without it
) -> None:
    wait_for_readiness(harness)
    if grouped:
        harness.step_runner.group = GroupCommit(lambda group: harness.database.execute(engine.apply_together, group))
    readiness.ready = True

    assert harness.step_runner.poll_again(kept.only) is None

    assert harness.step("await_readiness").status is StepStatus.DONE
    assert harness.run().lease_token is None
    assert [wake_up.move for wake_up in harness.wake_ups][-1] == Forward("mark_active")
    assert harness.running_steps.all_steps() == []
    harness.make_moves()
    assert harness.tenant().state is TenantState.ACTIVE


def test_a_cancel_stops_a_kept_wait_with_the_next_poll(harness: RunHarness, kept: Kept, readiness: Readiness) -> None:
    wait_for_readiness(harness)
    harness.cancel()
    harness.running_steps.cancel(harness.run().id)
    asked = readiness.asked

    assert kept.only.stop_signal.reason is StopReason.CANCELLED
    assert harness.step_runner.poll_again(kept.only) is None

    assert readiness.asked == asked
    assert harness.step("await_readiness").status is StepStatus.INTERRUPTED
    assert [wake_up.move for wake_up in harness.wake_ups][-1] == Backward("await_readiness")
    harness.make_moves()
    assert harness.tenant().state is TenantState.PENDING
    assert harness.existing_resources() == []


def test_a_cancel_during_the_first_poll_is_not_kept(
    harness: RunHarness, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")

    def cancel_meanwhile(*_: object) -> Health:
        harness.cancel()
        return Health(ready=False, percent=0, summary="starting")

    monkeypatch.setattr(harness.simulated.deployer, "health", cancel_meanwhile)
    harness.step_runner.make_move(harness.run().id, Forward("await_readiness"))

    assert kept.waits == []
    assert harness.step("await_readiness").status is StepStatus.INTERRUPTED
    assert harness.running_steps.all_steps() == []


def test_a_kept_undo_ends_when_its_resource_is_gone(
    harness: RunHarness, kept: Kept, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_tear_down(harness, readiness, monkeypatch)
    wait = kept.only
    assert wait.claim.move == UNDO
    with recorded_statements(harness, monkeypatch) as statements:
        assert harness.step_runner.poll_again(wait) == timedelta(seconds=1)
    assert statements == []
    readiness.gone = True

    assert harness.step_runner.poll_again(wait) is None

    assert harness.step("deploy_workloads").status is StepStatus.COMPENSATED
    assert harness.step("deploy_workloads").compensation_attempts == 1


@pytest.mark.parametrize("direction", [Forward, Backward])
def test_the_loss_of_a_worker_that_keeps_a_wait_costs_no_attempt(
    harness: RunHarness,
    kept: Kept,
    readiness: Readiness,
    monkeypatch: pytest.MonkeyPatch,
    direction: type[Forward | Backward],
) -> None:
    if direction is Forward:
        wait_for_readiness(harness)
    else:
        wait_for_tear_down(harness, readiness, monkeypatch)
    name = kept.only.claim.move.step
    started_at = harness.step(name).attempt_started_at

    harness.expire_lease()
    claim = harness.try_claim()
    assert claim is not None
    assert claim.attempt == 1
    harness.step_runner._keep_waiting(claim, kept.only.journal, SOON)

    step = harness.step(name)
    assert (step.attempt_started_at, step.lost_workers) == (started_at, 1)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), Shutdown()], ids=["no thread", "interrupt"])
def test_the_lease_of_a_wait_that_could_not_be_kept_is_not_renewed(
    harness: RunHarness, kept: Kept, readiness: Readiness, error: BaseException
) -> None:
    kept.error = error

    with pytest.raises(type(error)):
        wait_for_readiness(harness)

    assert harness.running_steps.all_steps() == []
    # The error came after it was kept: the next poll gives the lease back.
    assert harness.step_runner.poll_again(kept.only) is None
    assert harness.claim().attempt == 1
    assert readiness.asked == 1


def test_a_worker_that_lost_its_lease_records_nothing(harness: RunHarness, kept: Kept, readiness: Readiness) -> None:
    wait_for_readiness(harness)
    harness.expire_lease()
    other = harness.claim()
    readiness.ready = True

    assert harness.step_runner.poll_again(kept.only) is None

    assert harness.run().lease_token == other.token
    assert harness.step("await_readiness").status is StepStatus.RUNNING


@pytest.mark.parametrize("undoes", [False, True])
def test_a_kept_wait_fails_at_the_timeout_of_its_attempt(
    harness: RunHarness,
    kept: Kept,
    readiness: Readiness,
    monkeypatch: pytest.MonkeyPatch,
    undoes: bool,  # noqa: FBT001  # the direction
) -> None:
    if undoes:
        wait_for_tear_down(harness, readiness, monkeypatch)
    else:
        wait_for_readiness(harness)
    with harness.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == harness.run().id, col(RunStep.attempt_started_at).is_not(None))
            .values(attempt_started_at=col(RunStep.attempt_started_at) - timedelta(minutes=10))
        )
    kept.only.stop_signal.set(StopReason.TIMED_OUT)
    asked = readiness.asked

    assert harness.step_runner.poll_again(kept.only) is None
    assert harness.try_claim() is None

    assert readiness.asked == asked
    step = harness.step(kept.only.claim.move.step)
    error = step.compensation_error if undoes else step.error
    assert error == f"{step.title}: not {'undone' if undoes else 'done'} after 600 s."


def test_a_shutdown_gives_a_kept_wait_to_another_worker(harness: RunHarness, kept: Kept, readiness: Readiness) -> None:
    wait_for_readiness(harness)
    harness.running_steps.shut_down()

    assert harness.step_runner.poll_again(kept.only) is None

    assert harness.run().lease_token is None
    assert [wake_up.move for wake_up in harness.wake_ups][-1] == Forward("await_readiness")
    assert harness.claim().attempt == 1
    assert readiness.asked == 1


def test_a_long_wait_and_one_without_room_give_the_lease_back(
    harness: RunHarness, kept: Kept, readiness: Readiness
) -> None:
    kept.has_room = False

    wait_for_readiness(harness)

    assert kept.waits == []
    assert harness.run().lease_token is None
    assert readiness.asked == 1
    kept.has_room = True
    harness.cancel()
    harness.make_moves()
    harness.end_waits()
    harness.step_runner.make_move(harness.run().id, Forward("confirm_absence"))
    assert kept.waits == []
    assert harness.run().status is RunStatus.CANCELLED


def test_what_a_worker_remembers_of_a_run_is_not_tried_after_a_renewal(
    harness: RunHarness, kept: Kept, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewal has changed the row: the write of the remembered position would only find that out."""
    wait_for_readiness(harness)
    readiness.ready = True
    renewed_every = harness.settings.lease_renewal.total_seconds()
    clock = time.monotonic
    monkeypatch.setattr("provisioning.engine.time.monotonic", lambda: clock() + renewed_every + 1)

    with recorded_statements(harness, monkeypatch) as statements:
        harness.step_runner.poll_again(kept.only)

    assert len(statements) == 2
    assert harness.step("await_readiness").status is StepStatus.DONE


def test_a_run_that_waits_goes_live_on_the_threads_for_polls(harness: RunHarness, readiness: Readiness) -> None:
    runner = harness.step_runner
    runner.kept_waits = {Forward: KeptWaits("polls of a test", runner.poll_again, 2)}
    wait_for_readiness(harness)
    readiness.ready = True

    wait_until(lambda: harness.step("await_readiness").status is StepStatus.DONE)

    runner.kept_waits[Forward].close(timeout=20)
    assert harness.step("await_readiness").attempts == 1


@pytest.mark.parametrize("carrier", HintCarrier)
def test_a_cancel_reaches_the_worker_that_keeps_a_wait_long_before_a_renewal(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, carrier: HintCarrier
) -> None:
    """Over Redis also to a worker that hears no NOTIFY."""
    chosen = settings_with(
        database_url,
        redis_url=redis_url,
        hints=carrier,
        lease=timedelta(minutes=10),
        lease_renewal=timedelta(minutes=5),
    )
    with worker_pool_for(chosen, monkeypatch) as pool:
        answers = Readiness()
        monkeypatch.setattr(pool.harness.simulated.deployer, "health", answers.health)
        sender = hint_sender(chosen)
        pool.harness.database.hint = sender
        if carrier is HintCarrier.REDIS:
            monkeypatch.setattr(CancelListener, "_receive", lambda *_: None)
        pool.start_worker()
        pool.harness.create()
        step = partial(pool.harness.step, "await_readiness")
        wait_until(lambda: step().next_attempt_at and pool.harness.run().lease_token, within=40)
        if carrier is HintCarrier.REDIS:
            with redis.Redis.from_url(redis_url) as client:
                wait_until(lambda: dict(client.pubsub_numsub(channel_of(client, CANCEL_CHANNEL))).popitem()[1] == 1)

        pool.harness.cancel()

        pool.await_status(RunStatus.CANCELLED)
        assert step().status is StepStatus.COMPENSATED
        sender.close()
