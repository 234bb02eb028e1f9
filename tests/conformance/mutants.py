"""Mutants of the product, each without one protection: every proof has to fail on its mutant."""

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func
from sqlmodel import Session, col, select

from adapters.simulated import Holdings, Resource
from models import Run, RunStatus, RunStep
from provisioning import claims, decisions, due_runs, engine
from provisioning.claims import Claim
from provisioning.decisions import outcome_of
from provisioning.moves import Backward, Move, Settle
from provisioning.settlement import Position

Mutant = Callable[[pytest.MonkeyPatch], None]


def no_fencing_token_check(patch: pytest.MonkeyPatch) -> None:
    def owned_run(session: Session, held: Claim) -> Run | None:
        return session.exec(select(Run).where(Run.id == held.run_id).with_for_update(key_share=True)).one_or_none()

    patch.setattr(claims, "owned_run", owned_run)


def no_due_time_check_in_claim(patch: pytest.MonkeyPatch) -> None:
    def due_run(session: Session, run_id: UUID, statuses: Collection[RunStatus], _: UUID) -> Run | None:
        query = select(Run).where(Run.id == run_id, col(Run.status).in_(statuses))
        return session.exec(query.with_for_update(key_share=True)).one_or_none()

    patch.setattr(engine, "_due_run", due_run)


def no_status_check_in_claim(patch: pytest.MonkeyPatch) -> None:
    """A cancelled run can be claimed forward, as its steps allow."""

    def due_run(session: Session, run_id: UUID, _: Collection[RunStatus], __: UUID) -> Run | None:
        query = select(Run).where(
            Run.id == run_id, col(Run.due_at) <= func.clock_timestamp(), col(Run.finished_at).is_(None)
        )
        return session.exec(query.with_for_update(key_share=True)).one_or_none()

    original = decisions.next_move

    def next_move(run: Run, steps: Sequence[RunStep]) -> Move:
        ahead = decisions._forward(steps)
        began = any(step.compensation_attempts for step in steps)
        return original(run, steps) if began or isinstance(ahead, Settle) else ahead

    patch.setattr(engine, "_due_run", due_run)
    patch.setattr(engine, "next_move", next_move)


def no_tombstones(patch: pytest.MonkeyPatch) -> None:
    def drop(holdings: Holdings, run: str, *resources: Resource) -> None:
        for resource in resources:
            if holdings._held.get(resource) == run:
                del holdings._held[resource]

    patch.setattr(Holdings, "drop", drop)


def no_ledger_entry_before_call(patch: pytest.MonkeyPatch) -> None:
    def intend(session: Session, held: Claim, kind: str, name: str) -> None:
        claims.owned_run(session, held)

    patch.setattr(claims, "intend", intend)


def no_sweeper(patch: pytest.MonkeyPatch) -> None:
    def redispatch_due_runs(_: Session, __: Collection[RunStatus] = (), *, again: bool = True) -> bool:
        return not again

    patch.setattr(due_runs, "redispatch_due_runs", redispatch_due_runs)
    patch.setattr(due_runs, "end_due_runs", lambda _: False)


def no_reverse_order(patch: pytest.MonkeyPatch) -> None:
    def backward(run: Run, steps: Sequence[RunStep]) -> Move:
        behind = [step for step in steps if step.to_be_undone]
        return Backward(behind[0].name) if behind else Settle(outcome_of(run))

    patch.setattr(decisions, "_backward", backward)


def no_attempt_counted_before_start(patch: pytest.MonkeyPatch) -> None:
    original = engine._begin_attempt

    def begin_attempt(session: Session, position: Position, step: RunStep) -> None:
        original(session, position, step)
        step.attempts -= 1

    patch.setattr(engine, "_begin_attempt", begin_attempt)


def no_undo_attempt_counted_before_start(patch: pytest.MonkeyPatch) -> None:
    original = engine._begin_compensation

    def begin_compensation(session: Session, position: Position, step: RunStep) -> Any:
        ready = original(session, position, step)
        step.compensation_attempts = step.lost_workers = 0  # the lost workers are counted as well
        return ready

    patch.setattr(engine, "_begin_compensation", begin_compensation)
