"""Idempotency keys: the outcome of a call is kept with its effect, and a repeat within 24 hours gets it again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col

from models import IdempotencyKey
from provisioning import validation
from provisioning.errors import IdempotencyInProgress, IdempotencyKeyReused, Malformed
from runtime.database import clock, sqlstate

RETENTION = timedelta(hours=24)
MAX_KEY_LENGTH = 255
LOCK_NOT_AVAILABLE = "55P03"

Outcome = dict[str, Any]
"""What a call did, as JSON: enough to answer a repeat."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A call with an idempotency key. ``input_sha256`` tells a repeat from another call that reuses the key."""

    caller_id: UUID
    field: str
    key: str
    input_sha256: str

    @property
    def lock(self) -> int:
        """The number of an advisory lock, the same for every repeat."""
        named = f"{self.caller_id} {self.field} {self.key}".encode()
        return int.from_bytes(hashlib.sha256(named).digest()[:8], signed=True)


@dataclass(frozen=True, slots=True)
class Performed(Generic[T]):
    """The outcome of a call. ``result`` is what the work returned; None when an earlier call did the work."""

    outcome: Outcome
    result: T | None = None


def once(
    session: Session, call: KeyedCall | None, work: Callable[[Session], T], outcome_of: Callable[[T], Outcome]
) -> Performed[T]:
    """Do ``work``, unless a call with the same key did it before. Without a key it is always done.

    A refused call keeps no outcome. Raises Malformed, IdempotencyKeyReused, and IdempotencyInProgress when the first
    call takes longer than a lock is waited for.
    """
    before = stored_outcome(session, call) if call else None
    if before is not None:
        return Performed(before)
    result = work(session)
    outcome = outcome_of(result)
    if call:
        store_outcome(session, call, outcome)
    return Performed(outcome, result)


def stored_outcome(session: Session, call: KeyedCall) -> Outcome | None:
    """The outcome of an earlier call with this key, None without one. Locks the key until the transaction ends.

    Raises what ``once`` raises.
    """
    _check(call.key)
    _lock(session, call)
    kept = session.get(IdempotencyKey, (call.caller_id, call.field, call.key))
    if kept is None or kept.expires_at <= clock(session):
        return None
    if kept.input_sha256 != call.input_sha256:
        raise IdempotencyKeyReused
    return kept.outcome


def store_outcome(session: Session, call: KeyedCall, outcome: Outcome) -> None:
    """Keep an outcome for 24 hours, in place of an earlier one. ``stored_outcome`` has locked the key."""
    now = clock(session)
    kept = session.get(IdempotencyKey, (call.caller_id, call.field, call.key)) or IdempotencyKey(
        caller_id=call.caller_id,
        field=call.field,
        key=call.key,
        input_sha256=call.input_sha256,
        outcome=outcome,
        created_at=now,
        expires_at=now + RETENTION,
    )
    kept.input_sha256, kept.outcome, kept.created_at, kept.expires_at = call.input_sha256, outcome, now, now + RETENTION
    session.add(kept)


def delete_expired(session: Session, limit: int = 1000) -> int:
    """Delete expired keys; returns how many were deleted."""
    expired = session.scalars(
        select(IdempotencyKey)
        .where(col(IdempotencyKey.expires_at) <= func.clock_timestamp())
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for key in expired:
        session.delete(key)
    return len(expired)


def _check(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise Malformed("idempotency_key", f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters.")
    if not validation.is_storable(key):
        raise Malformed("idempotency_key", "An idempotency key has neither NUL nor half of a surrogate pair in it.")


def _lock(session: Session, call: KeyedCall) -> None:
    """Wait for an earlier call with the same key, and hold the key until this transaction ends."""
    try:
        session.execute(select(func.pg_advisory_xact_lock(call.lock)))
    except OperationalError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from None
        raise
