"""The engine of runs: claims moves and records their outcomes.

A worker performs a move between its claim and its record. Each function reads the position of the run, lets a function
of ``transitions`` decide, and writes the transition with ``run_store``. Leases, due times and back-offs use the
database's clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

from provisioning import run_store, transitions
from provisioning.claims import Claim, tenant_facts
from provisioning.error_messages import code_of, describe
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.position import Position
from provisioning.saga import Done, NotYet, Outcome
from provisioning.scarcity import is_scarcity, retry_after
from provisioning.step_context import StepStopped
from provisioning.steps import saga
from provisioning.transition import Takes, Transition
from provisioning.transitions import Failure, Lease
from runtime.database import Statements
from runtime.settings import Settings

Decide = Callable[[Position], Transition | None]


def claim(
    statements: Statements,
    run_id: UUID,
    move: Forward | Backward,
    *,
    settings: Settings,
    owner: str,
    token: UUID | None = None,
) -> Claim | None:
    """Take the lease for this move. Returns None if the run is not due, has an owner, or has another next move.

    A caller with its own ``token`` can repeat the call when its response was lost: the claim with this token is
    returned with the time that is left.
    """
    lease = Lease(token or uuid4(), owner, settings.lease)

    def decide(position: Position) -> Transition | None:
        if position.run.lease_token == lease.token:
            return transitions.claim_again(position, move, lease)
        return transitions.claim(position, move, lease, _takes(position, settings)(move.step))

    return _claim_of(_change(statements, run_id, decide), settings)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An outcome is on record. ``kept`` is the claim of the next move, if the run is kept for it."""

    kept: Claim | None


def try_to_record(
    write: Callable[[Transition], Position | None], held: Claim, outcome: Outcome, keep: Lease | None = None
) -> Recorded | None:
    """Record the outcome of a move with ``write``, which may write several transitions together.

    Returns None if the run has changed since the claim, if the transition has to be decided on a new position, or if it
    is unknown whether it was written: then ``record`` finds out.
    """
    decided_at = time.monotonic()
    transition = _outcome_of(_position_now(held), held, outcome, keep)
    if not run_store.may_be_written_together(transition):
        return None
    position = write(transition)
    if position is None:
        return None
    return Recorded(_claim_of(replace(transition, position=position), held.settings, decided_at))


def record(statements: Statements, held: Claim, outcome: Outcome, keep: Lease | None = None) -> Claim | None:
    """Record the outcome of a move and start the next one. Does nothing if the claim was lost.

    With ``keep``, the next move in the same direction is claimed in the same statement, and returned. Safe to repeat
    when its response was lost, with the same lease.
    """

    def decide(position: Position) -> Transition | None:
        if keep is not None and position.run.lease_token == keep.token:
            return _claim_kept_again(position, keep)
        if position.run.lease_token != held.token:
            return None
        return _outcome_of(position, held, outcome, keep)

    return _claim_of(_change(statements, held.run_id, decide, remembered=_position_now(held)), held.settings)


def record_failure(statements: Statements, held: Claim, error: BaseException) -> None:
    """Record the failure of a move: retry later, start compensating, or mark the run STUCK.

    Does nothing if the claim was lost.
    """
    failure = _failure_of(error)

    def decide(position: Position) -> Transition | None:
        if position.run.lease_token != held.token:
            return None
        return transitions.step_failed(position, held.move, failure, starts_attempt=held.starts_attempt)

    _change(statements, held.run_id, decide, remembered=_position_now(held))


def _outcome_of(position: Position, held: Claim, outcome: Outcome, keep: Lease | None) -> Transition:
    match outcome:
        case NotYet(after):
            return transitions.step_waits(position, held.move, after)
        case Done(parts_done):
            return transitions.step_succeeded(position, held.move, keep, _takes(position, held.settings), parts_done)


def _change(
    statements: Statements, run_id: UUID, decide: Decide, remembered: Position | None = None
) -> Transition | None:
    """Decide and write. Returns the transition that was written; None if ``decide`` has found nothing to do.

    A worker that owns the run remembers its position, and does not read it again unless it has changed since, or the
    transition says what is held. After two decisions that came too late, the third locks the run first.
    """
    if remembered is not None:
        transition = decide(remembered)
        if transition is not None and not transition.tells_what_is_held:
            written = _written(statements, transition)
            if written is not None:
                return written
    position = run_store.read(statements, run_id)
    transition = decide(position) if position else None
    if transition is None or (written := _written(statements, transition)) is not None:
        return transition and written
    with statements.transaction():
        position = run_store.read(statements, run_id, lock=True)
        transition = decide(position) if position else None
        return transition and _written(statements, transition)


def _written(statements: Statements, transition: Transition) -> Transition | None:
    position = run_store.write(statements, transition)
    return replace(transition, position=position) if position is not None else None


def _claim_of(written: Transition | None, settings: Settings, decided_at: float | None = None) -> Claim | None:
    """The claim that a transition has taken, if it has. ``decided_at``: when its position's time was now."""
    if written is None or written.claimed is None:
        return None
    position, move = written.position, written.claimed
    run, step = position.run, position.steps[move.step]
    assert run.lease_token is not None, "a claimed run has a token"
    backward = isinstance(move, Backward)
    began = step.attempt_started_at or position.now
    return Claim(
        run_id=run.id,
        token=run.lease_token,
        move=move,
        attempt=step.compensation_attempts if backward else step.attempts,
        time_left=max(step.attempt_timeout - (position.now - began), timedelta(0)),
        interruptible=step.interruptible and not backward,
        starts_attempt=began == position.now,
        names=position.names,
        tenant=tenant_facts(position.tenant, settings),
        parts_done=step.parts_done,
        position=position,
        settings=settings,
        claimed_at=decided_at or time.monotonic(),
    )


def _claim_kept_again(position: Position, keep: Lease) -> Transition:
    """The record was committed with the claim of the next move, and its reply was lost."""
    move = transitions.owned_move(position)
    return transitions.claim_again(position, move, keep)


def _position_now(held: Claim) -> Position:
    """The position that the claim remembers, at the time of the database's clock: it went on like this process's."""
    passed = timedelta(seconds=time.monotonic() - held.claimed_at)
    return held.position._replace(now=held.position.now + passed)


def _takes(position: Position, settings: Settings) -> Callable[[str], Takes]:
    """What each step takes in this run."""

    def takes(step: str) -> Takes:
        return saga.takes(step, position.names, tenant_facts(position.tenant, settings))

    return takes


def _failure_of(error: BaseException) -> Failure:
    return Failure(
        error=describe(error),
        code=code_of(error),
        stopped=error.reason if isinstance(error, StepStopped) else None,
        final=isinstance(error, Refused),
        scarce=is_scarcity(error),
        wait=retry_after(error) or timedelta(0),
    )
