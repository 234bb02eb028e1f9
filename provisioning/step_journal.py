"""The journal of a running step: short transactions, each fenced by the claim's token."""

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

    def intend(self, kind: str, name: str) -> None:
        """Write a resource into the ledger before it is created. Raises StepStopped if the claim is lost."""
        self._transact(claims.intend, kind, name)

    def progress(self, percent: int | None, message: str) -> None:
        """Publish the progress of the step, unless it is unchanged or was published less than PROGRESS_INTERVAL ago."""
        now = time.monotonic()
        published_at, *published = self._published
        if published == [percent, message] or now - published_at < PROGRESS_INTERVAL:
            return
        self._published = (now, percent, message)
        self._transact(_publish, percent, message)

    def abandoned(self) -> Abandoned:
        """The resources that an operator abandoned."""
        return self._transact(claims.abandoned)

    def record_absence_check(self, found: Sequence[str], found_abandoned: Sequence[str], *, complete: bool) -> int:
        """Record what an absence check found. Returns the number of checks. Raises StepStopped if the claim is lost."""
        return self._transact(claims.record_absence_check, found, found_abandoned, complete=complete)

    def record_part_done(self, parts: int) -> None:
        """Record that so many parts of the step are done. Raises StepStopped if the claim is lost."""
        self._transact(claims.record_part_done, parts)

    def validation_errors(self) -> list[str]:
        """Why the tenant cannot be provisioned with its current values: one sentence each."""
        return self._transact(_validation_errors, self.settings.regions)

    def _transact(self, work: Callable[Concatenate[Session, Claim, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises StepStopped if the database is unavailable or busy, which must not count as a failure of the step."""
        try:
            return self.database.transact(work, self.claim, *args, **kwargs)
        except SQLAlchemyError as error:
            if is_transient(error):
                raise StepStopped(StopReason.DATABASE_UNAVAILABLE) from error
            raise


def _publish(session: Session, claim: Claim, percent: int | None, message: str) -> None:
    """Write the progress while the run is locked: after another worker has claimed the run, nothing is written."""
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
        .values(percent=percent, message=masked(message)[:300])
        .execution_options(synchronize_session=False)
    )
    events.notify_feed(session, organisation_id, claim.names.tenant_id, "progress")


def _validation_errors(session: Session, claim: Claim, regions: tuple[str, ...]) -> list[str]:
    tenant = session.exec(select(Tenant).where(Tenant.id == claim.names.tenant_id)).one()
    return validation.validation_errors(session, tenant, regions)
