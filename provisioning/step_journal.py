"""The journal of a running step: short transactions, each fenced by the claim's token."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from models import AbsenceCheck, ResourceStatus, Run, Tenant
from models.columns import new_id
from provisioning import events, ledger, run_store, validation
from provisioning.claims import Claim
from provisioning.event_types import EventType
from provisioning.step_context import Abandoned, StepStopped, StopReason
from runtime.database import Database, Statements, is_transient
from runtime.masking import masked
from runtime.settings import Settings

PROGRESS_INTERVAL = 0.25
"""Seconds between two published updates of a step's progress."""


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
        claim, shown = self.claim, masked(message)[:300]
        with _unavailable_is_no_failure():
            self.database.execute(
                run_store.publish_progress, claim.run_id, claim.token, claim.move.step, percent, shown
            )

    def abandoned(self) -> Abandoned:
        """The resources that an operator abandoned before the claim. None is abandoned while a worker owns the run."""
        left = [each for each in self.claim.position.resources if each.status is ResourceStatus.ABANDONED]
        return Abandoned(frozenset(each.name for each in left), frozenset(each.step for each in left))

    def record_absence_check(self, found: Sequence[str], found_abandoned: Sequence[str], *, complete: bool) -> int:
        """Record what an absence check found. Returns the number of checks. Raises StepStopped if the claim is lost."""
        claim = self.claim
        check = AbsenceCheck(id=new_id(), run_id=claim.run_id, found=list(found), found_abandoned=list(found_abandoned))
        with _unavailable_is_no_failure():
            if found:
                earlier = self.database.transact(_record_and_tell, check, claim, complete=complete)
            else:
                earlier = self.database.execute(ledger.record_absence_check, check, claim.token, complete=complete)
        if earlier is None:
            raise StepStopped(StopReason.LEASE_LOST)
        return earlier.number + 1

    def validation_errors(self) -> list[str]:
        """Why the tenant cannot be provisioned with its current values: one sentence each."""
        with _unavailable_is_no_failure():
            return self.database.execute(
                validation.validation_errors, self.claim.names.tenant_id, self.settings.regions
            )


@contextmanager
def _unavailable_is_no_failure() -> Iterator[None]:
    """Raises StepStopped if the database is unavailable or busy, which must not count as a failure of the step."""
    try:
        yield
    except SQLAlchemyError as error:
        if is_transient(error):
            raise StepStopped(StopReason.DATABASE_UNAVAILABLE) from error
        raise


def _record_and_tell(
    session: Session, check: AbsenceCheck, claim: Claim, *, complete: bool
) -> ledger.EarlierChecks | None:
    """Record an absence check that found something, and tell it once: not if the check before found the same."""
    earlier = ledger.record_absence_check(Statements.of(session), check, claim.token, complete=complete)
    if earlier is not None and earlier.recorded and earlier.found != check.found:
        facts = {"run_number": claim.position.run.number, "found": check.found}
        run, tenant = session.get_one(Run, claim.run_id), session.get_one(Tenant, claim.names.tenant_id)
        events.emit(session, tenant, EventType.DRIFT_FOUND, facts, run=run)
    return earlier
