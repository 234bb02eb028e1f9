"""The journal of a running step: short transactions, each fenced by the claim's token."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from models import AbsenceCheck, Run, Tenant
from provisioning import events, ledger, run_store, validation
from provisioning.claims import Claim
from provisioning.event_types import EventType
from provisioning.step_context import Abandoned, StepStopped, StopReason
from runtime.database import Database, Statements, clock, is_transient
from runtime.masking import masked
from runtime.settings import Settings

PROGRESS_INTERVAL = 0.25
"""Seconds between two published updates of a step's progress."""


P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class DatabaseJournal:
    """The journal of one claim."""

    database: Database
    settings: Settings
    claim: Claim
    _published: tuple[float, int | None, str] = field(default=(-1.0, None, ""))

    def progress(self, percent: int | None, message: str) -> None:
        """Publish the progress of the step, unless it is unchanged or was published less than PROGRESS_INTERVAL ago."""
        now = time.monotonic()
        published_at, *published = self._published
        if published == [percent, message] or now - published_at < PROGRESS_INTERVAL:
            return
        self._published = (now, percent, message)
        self._execute(run_store.publish_progress, percent, masked(message)[:300])

    def abandoned(self) -> Abandoned:
        """The resources that an operator abandoned."""
        return self._transact(_abandoned)

    def record_absence_check(self, found: Sequence[str], found_abandoned: Sequence[str], *, complete: bool) -> int:
        """Record what an absence check found. Returns the number of checks. Raises StepStopped if the claim is lost."""
        return self._transact(_record_absence_check, found, found_abandoned, complete=complete)

    def record_part_done(self, parts: int) -> None:
        """Record that so many parts of the step are done. Raises StepStopped if the claim is lost."""
        if not self._execute(run_store.record_part_done, parts):
            raise StepStopped(StopReason.LEASE_LOST)

    def validation_errors(self) -> list[str]:
        """Why the tenant cannot be provisioned with its current values: one sentence each."""
        with _unavailable_is_no_failure():
            return self.database.execute(
                validation.validation_errors, self.claim.names.tenant_id, self.settings.regions
            )

    def _execute(
        self,
        work: Callable[Concatenate[Statements, UUID, UUID, str, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        claim = self.claim
        with _unavailable_is_no_failure():
            return self.database.execute(work, claim.run_id, claim.token, claim.move.step, *args, **kwargs)

    def _transact(self, work: Callable[Concatenate[Session, Claim, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _unavailable_is_no_failure():
            return self.database.transact(work, self.claim, *args, **kwargs)


@contextmanager
def _unavailable_is_no_failure() -> Iterator[None]:
    """Raises StepStopped if the database is unavailable or busy, which must not count as a failure of the step."""
    try:
        yield
    except SQLAlchemyError as error:
        if is_transient(error):
            raise StepStopped(StopReason.DATABASE_UNAVAILABLE) from error
        raise


def _abandoned(session: Session, claim: Claim) -> Abandoned:
    return ledger.abandoned(session, session.get_one(Run, claim.run_id))


def _record_absence_check(
    session: Session, claim: Claim, found: Sequence[str], found_abandoned: Sequence[str], *, complete: bool
) -> int:
    run = session.exec(
        select(Run).where(Run.id == claim.run_id, Run.lease_token == claim.token).with_for_update(key_share=True)
    ).one_or_none()
    if run is None:
        raise StepStopped(StopReason.LEASE_LOST)
    before = session.exec(
        select(AbsenceCheck.found).where(AbsenceCheck.run_id == run.id).order_by(col(AbsenceCheck.id))
    ).all()
    now = clock(session)
    session.add(AbsenceCheck(run_id=run.id, asked_at=now, found=list(found), found_abandoned=list(found_abandoned)))
    if complete:
        ledger.record_absence_of_abandoned(session, run, found_abandoned, now)
    if found and (not before or list(before[-1]) != list(found)):
        facts = {"run_number": run.number, "found": list(found)}
        tenant = session.get_one(Tenant, run.tenant_id)
        events.emit(session, tenant, EventType.DRIFT_FOUND, facts, run=run, at=now)
    return len(before) + 1
