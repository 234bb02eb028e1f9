"""The engine of runs: claims moves and records their outcomes.

A worker performs a move between its claim and its record. What it wants to write is a ``Change``: ``apply`` reads the
position of the run, lets a function of ``transitions`` decide, and writes the transition with ``run_store``. Leases,
due times and back-offs use the database's clock.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self
from uuid import UUID

from provisioning import run_reader, run_store, transitions
from provisioning.claims import Claim, tenant_facts
from provisioning.error_messages import code_of, describe
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.position import Position
from provisioning.saga import Done, NotYet, Outcome, PartDone
from provisioning.scarcity import is_scarcity, retry_after
from provisioning.step_context import StepStopped, StopReason
from provisioning.step_endings import Failure
from provisioning.steps import saga
from provisioning.transition import Takes, Transition
from provisioning.transitions import Lease
from runtime.database import Statements
from runtime.settings import Settings

Decide = Callable[[Position], Transition | None]
"""Returns what to write, None if there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A transition, None if there is nothing to do. ``at``: when the time of its position was now (``monotonic``)."""

    transition: Transition | None
    at: float

    @classmethod
    def now(cls, decide: Decide, position: Position | None) -> Self:
        """Decide on a position that was read just now. There is nothing to do for a run that does not exist."""
        return cls(decide(position) if position else None, time.monotonic())

    def written_at(self, position: Position) -> Self:
        """The same after it was written: the position has the new revision."""
        assert self.transition is not None, "only a transition is written"
        return replace(self, transition=replace(self.transition, position=position))


@dataclass(frozen=True, slots=True)
class Change:
    """What a worker wants to write of a run: ``decide`` says it of a position. It may be applied again and again.

    ``held`` is the claim of the worker if it owns the run, and remembers its position. ``remembered`` is the decision
    on that position, None if the position has to be read.
    """

    run_id: UUID
    decide: Decide
    held: Claim | None = None
    remembered: Decided | None = None

    def decided_now(self) -> Self:
        """The same change, decided on the position that the worker remembers, as it is now.

        It has to be read once the lease was renewed, because that has changed the row, and before a transition that
        says what is held.
        """
        held = self.held
        if held is None or time.monotonic() - held.claimed_at > held.settings.lease_renewal.total_seconds():
            return self.undecided()
        transition = self.decide(_position_now(held))
        known = transition is not None and not transition.tells_what_is_held
        return replace(self, remembered=Decided(transition, time.monotonic()) if known else None)

    def undecided(self) -> Self:
        """The same change, for a position that is read for it."""
        return replace(self, held=None, remembered=None)


Apply = Callable[[Change], Decided | None]
"""Applies a change, perhaps together with others. Returns None if it is unknown whether it was applied."""


def claiming(run_id: UUID, move: Forward | Backward, settings: Settings, lease: Lease) -> Change:
    """Take the lease for this move. There is no claim if the run is not due, has an owner, or has another next move.

    Safe to repeat when its response was lost, with the same lease: the claim is returned with the time that is left.
    """

    def claim(position: Position) -> Transition | None:
        if position.run.lease_token == lease.token:
            return transitions.claim_again(position, move, lease)
        return transitions.claim(position, move, lease, _takes(position, settings)(move.step))

    return Change(run_id, claim)


def recording(held: Claim, outcome: Outcome, keep: Lease | None = None) -> Change:
    """Record the outcome of a move and start the next one. Does nothing if the claim was lost.

    With ``keep``, the next move in the same direction is claimed in the same statement. Safe to repeat when its
    response was lost, with the same lease.
    """

    def record(position: Position) -> Transition | None:
        if keep is not None and position.run.lease_token == keep.token:
            return _claim_kept_again(position, keep)
        if position.run.lease_token != held.token:
            return None
        return _outcome_of(position, held, outcome, keep)

    return Change(held.run_id, record, held)


def waiting(held: Claim, after: timedelta) -> Change:
    """Record that the step waits while its worker keeps the lease and the token. Safe to repeat.

    ``claim_of`` has the claim as it is then; None if it was lost, or if a cancel has ended the wait.
    """

    def keep_waiting(position: Position) -> Transition | None:
        if position.run.lease_token != held.token:
            return None
        return transitions.step_waits(position, held.move, after, kept=True)

    return Change(held.run_id, keep_waiting, held)


def failing(held: Claim, error: BaseException) -> Change:
    """Record the failure of a move: retry later, start compensating, or mark the run STUCK.

    Does nothing if the claim was lost.
    """
    failure = _failure_of(error)

    def record_failure(position: Position) -> Transition | None:
        if position.run.lease_token != held.token:
            return None
        return transitions.step_failed(position, held.move, failure, starts_attempt=held.starts_attempt)

    cancelled = failure.stopped is StopReason.CANCELLED
    return Change(held.run_id, record_failure, None if cancelled else held)  # the cancel has changed the row


def apply(statements: Statements, change: Change) -> Decided:
    """Write what a worker wants. Safe to repeat when a response was lost.

    After two decisions that came too late, the third locks the run first.
    """
    remembered = change.decided_now().remembered
    if remembered is not None and (written := _written(statements, remembered)) is not None:
        return written
    read = Decided.now(change.decide, run_reader.read(statements, change.run_id))
    if (written := _written(statements, read)) is not None:
        return written
    with statements.transaction():
        locked = Decided.now(change.decide, run_reader.read(statements, change.run_id, lock=True))
        written = _written(statements, locked)
    assert written is not None, "the run was locked, so nothing else has written it"
    return written


def apply_together(statements: Statements, changes: Sequence[Change]) -> list[Decided | None]:
    """Write what workers want of different runs: one statement reads, and one writes. Safe to repeat as ``apply``.

    Returns None for a change that was not written, and has to be applied by itself: its run or tenant is locked, its
    run has changed since it was read, or another change is of the same tenant.
    """
    unread = [change.run_id for change in changes if change.remembered is None]
    positions = {each.run.id: each for each in run_reader.read_each(statements, unread)} if unread else {}
    decided = [change.remembered or _decided(change, positions.get(change.run_id)) for change in changes]
    by_tenant: dict[UUID, Transition] = {}
    for one in decided:
        if one is not None and one.transition is not None:
            by_tenant.setdefault(one.transition.position.tenant.id, one.transition)
    written = run_store.write_together(statements, list(by_tenant.values())) if by_tenant else []
    after = {position.run.id: position for position in written if position is not None}
    return [one and _after(one, after) for one in decided]


def claim_of(decided: Decided, settings: Settings) -> Claim | None:
    """The claim that a transition has taken, if it has."""
    written = decided.transition
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
        claimed_at=decided.at,
    )


def _decided(change: Change, position: Position | None) -> Decided | None:
    """Decide on a position that was read. None if that fails: an error of one run must not stop the others."""
    try:
        return Decided.now(change.decide, position)
    except Exception:  # noqa: BLE001  # raised again when the change is applied by itself
        return None


def _after(decided: Decided, positions: Mapping[UUID, Position]) -> Decided | None:
    if decided.transition is None:
        return decided
    position = positions.get(decided.transition.position.run.id)
    return decided.written_at(position) if position is not None else None


def _outcome_of(position: Position, held: Claim, outcome: Outcome, keep: Lease | None) -> Transition:
    takes = _takes(position, held.settings)
    match outcome:
        case NotYet(after):
            return transitions.step_waits(position, held.move, after)
        case PartDone(parts):
            return transitions.part_done(position, held.move, parts, keep, takes)
        case Done(parts_done):
            return transitions.step_succeeded(position, held.move, keep, takes, parts_done)


def _written(statements: Statements, decided: Decided) -> Decided | None:
    """What was decided, as it was written. None if the run has changed since its position was read."""
    if decided.transition is None:
        return decided
    position = run_store.write(statements, decided.transition)
    return decided.written_at(position) if position is not None else None


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
