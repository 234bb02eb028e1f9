"""What a running step puts on record, each time in a short transaction that its claim's token fences."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from models import Run, RunStep, Tenant
from provisioning import claims, events, validation
from provisioning.claims import Claim
from provisioning.step_context import Abandoned, StepStopped, StopReason
from runtime.database import Database, is_transient
from runtime.settings import Settings

PROGRESS_INTERVAL = 0.25
"""Seconds; watchers see at most four updates a second."""


P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class DatabaseJournal:
    """The journal of one claim."""

    database: Database
    settings: Settings
    claim: Claim
    _shown: tuple[float, int | None, str] = field(default=(-1.0, None, ""))

    def intend(self, kind: str, name: str) -> None:
        """Write a resource into the ledger before it is created. Raises StepStopped when the claim is lost."""
        self._transact(claims.intend, kind, name)

    def progress(self, percent: int | None, message: str) -> None:
        """Show how far the step is, unless it did so a moment ago."""
        now = time.monotonic()
        shown_at, *shown = self._shown
        if shown == [percent, message] or now - shown_at < PROGRESS_INTERVAL:
            return
        self._shown = (now, percent, message)
        self._transact(_show, percent, message)

    def abandoned(self) -> Abandoned:
        """What an operator left behind knowingly."""
        return self._transact(claims.abandoned)

    def record_absence_check(self, found: Sequence[str]) -> int:
        """Keep what a look outside found after the undo. Raises StepStopped when the claim is lost."""
        return self._transact(claims.record_absence_check, found)

    def validation_errors(self) -> list[str]:
        """Why the tenant's request cannot be fulfilled as it stands."""
        return self._transact(_validation_errors, self.settings.regions)

    def _transact(self, work: Callable[Concatenate[Session, Claim, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises StepStopped also when the database is away or busy: that is not the step's failure."""
        try:
            return self.database.transact(work, self.claim, *args, **kwargs)
        except SQLAlchemyError as error:
            if is_transient(error):
                raise StepStopped(StopReason.DATABASE_UNAVAILABLE) from error
            raise


def _show(session: Session, claim: Claim, percent: int | None, message: str) -> None:
    """Write it under the lock that whoever takes the claim away needs too: none of it lands later."""
    organisation_id = session.exec(
        select(Run.organisation_id)
        .where(Run.id == claim.run_id, Run.lease_token == claim.token)
        .with_for_update(key_share=True)
    ).one_or_none()
    if organisation_id is None:
        return
    session.execute(
        update(RunStep)
        .where(col(RunStep.run_id) == claim.run_id, col(RunStep.name) == claim.move.step)
        .values(percent=percent, message=message[:300])
        .execution_options(synchronize_session=False)
    )
    events.notify_feed(session, organisation_id, claim.names.tenant_id, "progress")


def _validation_errors(session: Session, claim: Claim, regions: tuple[str, ...]) -> list[str]:
    tenant = session.exec(select(Tenant).where(Tenant.id == claim.names.tenant_id)).one()
    return validation.validation_errors(session, tenant, regions)
