"""The next move of a run follows from its status and the statuses of its steps."""

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
    requested_at = datetime(2026, 1, 1, tzinfo=UTC) if cancelled else None
    facts: dict[str, Any] = {"kind": kind, "status": status, "cancel_requested_at": requested_at}
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
def test_a_forward_run_performs_the_first_step_that_is_not_done(
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
def test_a_run_being_undone_compensates_the_last_started_step(
    statuses: tuple[StepStatus, ...],
    step: str,
    cancelled: bool,  # noqa: FBT001  # a parameter of the test
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
def test_a_succeeded_run_performs_only_its_follow_ups(mail: StepStatus, move: Move) -> None:
    assert next_move(run_in(RunStatus.SUCCEEDED), steps_in((D, D, D, mail))) == move


@pytest.mark.parametrize("status", [RunStatus.STUCK, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.DECOMMISSIONED])
def test_a_stuck_or_ended_run_has_no_next_move(status: RunStatus) -> None:
    assert next_move(run_in(status), steps_in((D, X, U, W))) == Rest()


def test_every_run_status_is_either_live_or_ended() -> None:
    ended = {RunStatus.SUCCEEDED, RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.DECOMMISSIONED}

    assert set(LIVE_STATUSES) | ended == set(RunStatus)
    assert not set(LIVE_STATUSES) & ended


def test_an_undo_has_the_status_cancelling_exactly_when_a_cancel_was_requested() -> None:
    assert way_back(run_in(RunStatus.RUNNING, cancelled=True)) is RunStatus.CANCELLING
    assert way_back(run_in(RunStatus.RUNNING)) is RunStatus.COMPENSATING


def test_a_provisioning_run_is_cancellable_until_a_cancel_was_requested() -> None:
    assert run_in(RunStatus.STUCK).cancellable
    assert not run_in(RunStatus.CANCELLING, cancelled=True).cancellable
    assert not run_in(RunStatus.COMPENSATING, kind=RunKind.DECOMMISSION).cancellable
