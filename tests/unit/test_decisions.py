"""What a run does next, as a table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from models import Run, RunKind, RunStatus, RunStep, StepRole, StepStatus
from models.run import LIVE_STATUSES
from provisioning.decisions import next_move, outcome_of, way_back
from provisioning.moves import Backward, Forward, Move, Rest, Settle

ROLES = {"a": StepRole.STEP, "b": StepRole.STEP, "pivot": StepRole.PIVOT, "mail": StepRole.AFTERWARDS}
W, R, D, F = StepStatus.WAITING, StepStatus.RUNNING, StepStatus.DONE, StepStatus.FAILED
N, C, U = StepStatus.INTERRUPTED, StepStatus.COMPENSATING, StepStatus.COMPENSATED
X, A = StepStatus.COMPENSATION_FAILED, StepStatus.ABANDONED


def run_in(status: RunStatus, *, kind: RunKind = RunKind.PROVISION, cancelled: bool = False) -> Run:
    asked = datetime(2026, 1, 1, tzinfo=UTC) if cancelled else None
    facts: dict[str, Any] = {"kind": kind, "status": status, "cancel_requested_at": asked}
    return Run(**facts)


def steps_in(statuses: Sequence[StepStatus]) -> list[RunStep]:
    rows: list[dict[str, Any]] = [
        {"name": name, "role": role, "status": status}
        for (name, role), status in zip(ROLES.items(), statuses, strict=True)
    ]
    return [RunStep(**row) for row in rows]


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.RUNNING])
@pytest.mark.parametrize(
    ("statuses", "move"),
    [
        ((W, W, W, W), Forward("a")),
        ((R, W, W, W), Forward("a")),
        ((D, W, W, W), Forward("b")),
        ((D, R, W, W), Forward("b")),
        ((D, D, W, W), Forward("pivot")),
        ((D, D, R, W), Forward("pivot")),
        ((D, D, D, W), Settle(RunStatus.SUCCEEDED)),
    ],
)
def test_a_run_on_its_way_does_the_first_step_that_is_not_done(
    status: RunStatus, statuses: tuple[StepStatus, ...], move: Move
) -> None:
    assert next_move(run_in(status), steps_in(statuses)) == move


@pytest.mark.parametrize("cancelled", [True, False])
@pytest.mark.parametrize(
    ("statuses", "step"),
    [
        ((R, W, W, W), "a"),
        ((D, N, W, W), "b"),
        ((D, F, W, W), "b"),
        ((D, D, N, W), "pivot"),
        ((D, D, C, W), "pivot"),
        ((D, D, U, W), "b"),
        ((D, X, U, W), "b"),
        ((D, A, U, W), "a"),
        ((D, C, U, W), "b"),
        ((C, U, U, W), "a"),
    ],
)
def test_a_run_on_its_way_back_undoes_the_last_step_that_began(
    statuses: tuple[StepStatus, ...],
    step: str,
    cancelled: bool,  # noqa: FBT001  # a case of a table
) -> None:
    run = run_in(RunStatus.CANCELLING if cancelled else RunStatus.COMPENSATING, cancelled=cancelled)

    assert next_move(run, steps_in(statuses)) == Backward(step)


@pytest.mark.parametrize("statuses", [(W, W, W, W), (U, W, W, W), (U, U, U, W), (U, A, U, W)])
@pytest.mark.parametrize(
    ("run", "end"),
    [
        (run_in(RunStatus.CANCELLING, cancelled=True), RunStatus.CANCELLED),
        (run_in(RunStatus.COMPENSATING, cancelled=True), RunStatus.CANCELLED),
        (run_in(RunStatus.COMPENSATING), RunStatus.FAILED),
        (run_in(RunStatus.COMPENSATING, kind=RunKind.DECOMMISSION), RunStatus.DECOMMISSIONED),
    ],
)
def test_a_run_with_nothing_left_to_undo_settles(run: Run, end: RunStatus, statuses: tuple[StepStatus, ...]) -> None:
    assert next_move(run, steps_in(statuses)) == Settle(end)
    assert outcome_of(run) is end


@pytest.mark.parametrize(("mail", "move"), [(W, Forward("mail")), (R, Forward("mail")), (D, Rest()), (F, Rest())])
def test_a_run_that_succeeded_only_follows_up(mail: StepStatus, move: Move) -> None:
    assert next_move(run_in(RunStatus.SUCCEEDED), steps_in((D, D, D, mail))) == move


@pytest.mark.parametrize("status", [RunStatus.STUCK, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.DECOMMISSIONED])
def test_a_run_that_is_stuck_or_over_does_nothing(status: RunStatus) -> None:
    assert next_move(run_in(status), steps_in((D, X, U, W))) == Rest()


def test_every_status_is_live_or_over() -> None:
    over = {RunStatus.SUCCEEDED, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.DECOMMISSIONED}

    assert set(LIVE_STATUSES) | over == set(RunStatus)
    assert not set(LIVE_STATUSES) & over


def test_the_way_back_says_whether_somebody_asked_for_it() -> None:
    assert way_back(run_in(RunStatus.RUNNING, cancelled=True)) is RunStatus.CANCELLING
    assert way_back(run_in(RunStatus.RUNNING)) is RunStatus.COMPENSATING


def test_a_cancel_is_accepted_for_the_first_time_while_a_provisioning_has_not_settled() -> None:
    assert run_in(RunStatus.STUCK).cancellable
    assert not run_in(RunStatus.CANCELLING, cancelled=True).cancellable
    assert not run_in(RunStatus.COMPENSATING, kind=RunKind.DECOMMISSION).cancellable
