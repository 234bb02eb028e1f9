"""Mutants of the product, each without one protection: every proof has to fail on its mutant."""

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Any

import pytest

from adapters.simulated import Holdings, Resource
from models import RunStatus
from provisioning import decisions, due_runs, run_store, transitions
from provisioning.claims import Claim
from provisioning.decisions import DecidingRun, DecidingStep, outcome_of
from provisioning.moves import Backward, Forward, Move, Settle
from provisioning.position import Position, StepValues
from provisioning.saga import NotYet
from provisioning.step_context import Journal
from provisioning.transition import Draft, Takes, Transition
from runtime.database import Statements
from workers.actors import StepRunner
from workers.kept_waits import KeptWait, KeptWaits, Place

Mutant = Callable[[pytest.MonkeyPatch], None]


def no_fencing_token_check(patch: pytest.MonkeyPatch) -> None:
    """A write does not check that the run is as it was when its position was read."""
    patch.setattr(run_store, "UNCHANGED", "%(revision)s::xid IS NOT NULL")
    patch.setattr(run_store, "_write_statement", run_store._write_statement.__wrapped__)
    unguarded = run_store.WRITE_TOGETHER.replace("runs.xmin = given.revision", "given.revision IS NOT NULL")
    assert unguarded != run_store.WRITE_TOGETHER, "the statement has a guard to remove"
    patch.setattr(run_store, "WRITE_TOGETHER", unguarded)


def no_due_time_check_in_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transitions, "is_due", lambda position: position.run.due_at is not None)


def no_status_check_in_claim(patch: pytest.MonkeyPatch) -> None:
    """A cancelled run can be claimed forward, as its steps allow."""
    original = decisions.next_move

    def next_move(run: DecidingRun, steps: Iterable[Any]) -> Move:
        steps = list(steps)
        ahead = decisions._forward(steps)
        began = any(step.compensation_attempts for step in steps)
        return original(run, steps) if began or isinstance(ahead, Settle) else ahead

    patch.setattr(transitions, "next_move", next_move)


def no_tombstones(patch: pytest.MonkeyPatch) -> None:
    def drop(holdings: Holdings, run: str, *resources: Resource) -> None:
        for resource in resources:
            if holdings._held.get(resource) == run:
                del holdings._held[resource]

    patch.setattr(Holdings, "drop", drop)


def no_ledger_entry_before_call(patch: pytest.MonkeyPatch) -> None:
    def intend(_: object, __: StepValues, ___: Takes) -> None:
        return None

    patch.setattr(Draft, "intend", intend)


def no_sweeper(patch: pytest.MonkeyPatch) -> None:
    def redispatch_due_runs(_: Statements, __: Collection[RunStatus] = (), **___: Any) -> bool:
        return False

    patch.setattr(due_runs, "redispatch_due_runs", redispatch_due_runs)
    patch.setattr(due_runs, "end_due_runs", lambda _: False)


def no_reverse_order(patch: pytest.MonkeyPatch) -> None:
    def backward(run: DecidingRun, steps: Iterable[DecidingStep]) -> Move:
        behind = [step for step in steps if step.to_be_undone]
        return Backward(behind[0].name) if behind else Settle(outcome_of(run))

    patch.setattr(decisions, "_backward", backward)


def no_attempt_counted_before_start(patch: pytest.MonkeyPatch) -> None:
    original = transitions._begin_attempt

    def begin_attempt(draft: Draft, step: StepValues, takes: Takes) -> None:
        original(draft, step, takes)
        draft.change(step, attempts=step.attempts)

    patch.setattr(transitions, "_begin_attempt", begin_attempt)


def no_undo_attempt_counted_before_start(patch: pytest.MonkeyPatch) -> None:
    original = transitions._begin_compensation

    def begin_compensation(draft: Draft, step: StepValues, *, taken_over: bool) -> bool:
        ready = original(draft, step, taken_over=taken_over)
        draft.change(step, compensation_attempts=0, lost_workers=0)  # the lost workers are counted as well
        return ready

    patch.setattr(transitions, "_begin_compensation", begin_compensation)


def no_kept_waits(patch: pytest.MonkeyPatch) -> None:
    """The record of a wait gives the lease back."""
    original = transitions.step_waits

    def step_waits(position: Position, move: Forward | Backward, after: timedelta, **_: bool) -> Transition:
        return original(position, move, after)

    patch.setattr(transitions, "step_waits", step_waits)


def no_renewal_of_a_kept_lease(patch: pytest.MonkeyPatch) -> None:
    original = StepRunner._keep_waiting

    def keep_waiting(runner: StepRunner, claim: Claim, journal: Journal, outcome: NotYet) -> None:
        original(runner, claim, journal, outcome)
        runner.running_steps.forget(claim)

    patch.setattr(StepRunner, "_keep_waiting", keep_waiting)


def no_end_of_the_renewal_of_a_kept_lease(patch: pytest.MonkeyPatch) -> None:
    original = StepRunner.poll_again

    def poll_again(runner: StepRunner, wait: KeptWait) -> timedelta | None:
        after = original(runner, wait)
        if after is None:
            runner.running_steps.keep(wait.claim)
        return after

    patch.setattr(StepRunner, "poll_again", poll_again)


def no_poll_at_once_of_a_wait_that_has_to_stop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeptWaits, "_expedite", lambda *_: None)


def no_poll_of_a_wait_that_has_to_stop(patch: pytest.MonkeyPatch) -> None:
    """A stop signal takes the wait from those that are not due, and puts it nowhere."""

    def expedite(_: KeptWaits, wait: KeptWait) -> None:
        wait.due, wait.place = 0.0, Place.PARKED

    patch.setattr(KeptWaits, "_expedite", expedite)
