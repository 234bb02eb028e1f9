"""Doing once what is asked for twice: the answer is kept with the effect, and given again for a day."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col

from models import IdempotencyKey
from provisioning import validation
from provisioning.errors import IdempotencyInProgress, IdempotencyKeyReused, Malformed
from runtime.database import clock, sqlstate

KEPT_FOR = timedelta(hours=24)
LONGEST_KEY = 255
LOCK_NOT_AVAILABLE = "55P03"

Outcome = dict[str, Any]
"""What a call did, as JSON: enough to answer it again."""


@dataclass(frozen=True, slots=True)
class Once:
    """One call, told apart from others by caller, field and key; ``input_sha256`` tells whether a repeat is one."""

    caller_id: UUID
    field: str
    key: str
    input_sha256: str

    @property
    def lock(self) -> int:
        """A number for an advisory lock, the same for every repeat."""
        named = f"{self.caller_id} {self.field} {self.key}".encode()
        return int.from_bytes(hashlib.sha256(named).digest()[:8], signed=True)


def once(session: Session, call: Once, work: Callable[[], Outcome]) -> Outcome:
    """Do ``work`` unless it was done; its outcome either way. What it refuses is not kept.

    Raises Malformed, IdempotencyKeyReused, and IdempotencyInProgress when the first call takes longer than a lock
    may be waited for.
    """
    return part_by_part(session, call, lambda before: work() if before is None else before)


def part_by_part(session: Session, call: Once, work: Callable[[Outcome | None], Outcome]) -> Outcome:
    """Do the next part of ``work``: it is given what was kept of the parts before, and what it returns is kept instead.

    So whoever repeats a call goes on where it was left, and parts that two do at a time are done by one or the other.
    Raises what ``once`` raises.
    """
    _check(call.key)
    _wait_for_the_first(session, call)
    kept = session.get(IdempotencyKey, (call.caller_id, call.field, call.key))
    before = _again(kept, call) if kept is not None and kept.expires_at > clock(session) else None
    outcome = work(before)
    if outcome is not before:
        _keep(session, kept, call, outcome)
    return outcome


def _check(key: str) -> None:
    if not 1 <= len(key) <= LONGEST_KEY:
        raise Malformed("idempotency_key", f"An idempotency key has 1 to {LONGEST_KEY} characters.")
    if not validation.is_storable(key):
        raise Malformed("idempotency_key", "An idempotency key has neither NUL nor half of a surrogate pair in it.")


def forget_expired(session: Session, limit: int = 1000) -> int:
    """Delete keys whose day is over; how many there were."""
    expired = session.scalars(
        select(IdempotencyKey)
        .where(col(IdempotencyKey.expires_at) <= func.clock_timestamp())
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for key in expired:
        session.delete(key)
    return len(expired)


def _wait_for_the_first(session: Session, call: Once) -> None:
    """Hold the key until this transaction ends."""
    try:
        session.execute(select(func.pg_advisory_xact_lock(call.lock)))
    except OperationalError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from None
        raise


def _again(kept: IdempotencyKey, call: Once) -> Outcome:
    if kept.input_sha256 != call.input_sha256:
        raise IdempotencyKeyReused
    return kept.outcome


def _keep(session: Session, expired: IdempotencyKey | None, call: Once, outcome: Outcome) -> None:
    now = clock(session)
    row = expired or IdempotencyKey(
        caller_id=call.caller_id,
        field=call.field,
        key=call.key,
        input_sha256=call.input_sha256,
        outcome=outcome,
        created_at=now,
        expires_at=now + KEPT_FOR,
    )
    row.input_sha256, row.outcome, row.created_at, row.expires_at = call.input_sha256, outcome, now, now + KEPT_FOR
    session.add(row)
