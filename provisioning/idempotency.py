"""Idempotency keys: a repeat of a request within 24 hours gets the stored outcome of the first."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
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
"""The stored outcome of a request, as JSON. A repeat is answered from it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A request with an idempotency key. ``input_sha256`` distinguishes a repeat from a reuse with other input."""

    caller_id: UUID
    field: str
    key: str
    input_sha256: str

    @property
    def lock(self) -> int:
        """The number of the advisory lock, the same for every repeat."""
        identity = f"{self.caller_id} {self.field} {self.key}".encode()
        return int.from_bytes(hashlib.sha256(identity).digest()[:8], signed=True)


@dataclass(frozen=True, slots=True)
class Performed(Generic[T]):
    """The outcome of a request. ``result`` is what the work returned, None if an earlier request did the work."""

    outcome: Outcome
    result: T | None = None


def once(
    session: Session, call: KeyedCall | None, work: Callable[[Session], T], outcome_of: Callable[[T], Outcome]
) -> Performed[T]:
    """Do ``work``, unless an earlier request with the same key did it. Without a key ``work`` is always done.

    The outcome of a refused request is not stored. Raises Malformed, IdempotencyKeyReused, and IdempotencyInProgress if
    the first request takes longer than the lock timeout.
    """
    stored = stored_outcome(session, call) if call else None
    if stored is not None:
        return Performed(stored)
    result = work(session)
    outcome = outcome_of(result)
    if call:
        store_outcome(session, call, outcome)
    return Performed(outcome, result)


def stored_outcome(session: Session, call: KeyedCall) -> Outcome | None:
    """The stored outcome of an earlier request with this key, or None. Locks the key until the transaction ends.

    Raises the same errors as ``once``.
    """
    _check(call.key)
    _lock(session, call)
    row = session.get(IdempotencyKey, (call.caller_id, call.field, call.key))
    if row is None or row.expires_at <= clock(session):
        return None
    if row.input_sha256 != call.input_sha256:
        raise IdempotencyKeyReused
    return row.outcome


def store_outcome(session: Session, call: KeyedCall, outcome: Outcome) -> None:
    """Store an outcome for 24 hours, replacing an earlier one. ``stored_outcome`` must have locked the key."""
    now = func.statement_timestamp()
    key = {"caller_id": call.caller_id, "field": call.field, "key": call.key}
    stored = {
        "input_sha256": call.input_sha256,
        "outcome": outcome,
        "created_at": now,
        "expires_at": now + RETENTION,
    }
    session.execute(
        insert(IdempotencyKey)
        .values(**key, **stored)
        .on_conflict_do_update(index_elements=list(key), set_=stored)
        .execution_options(synchronize_session=False)
    )


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
        raise Malformed("idempotency_key", f"An idempotency key must have 1 to {MAX_KEY_LENGTH} characters.")
    if not validation.is_storable(key):
        raise Malformed("idempotency_key", "An idempotency key must not contain NUL or an unpaired surrogate.")


def _lock(session: Session, call: KeyedCall) -> None:
    """Wait for an earlier request with the same key, and lock the key until this transaction ends."""
    try:
        session.execute(select(func.pg_advisory_xact_lock(call.lock)))
    except OperationalError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from None
        raise
