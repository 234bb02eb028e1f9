"""What a running step puts on record, each time in a short transaction that its claim's token fences."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import update
from sqlmodel import Session, col, select

from models import Run, RunStep, Tenant
from provisioning import engine, events, rules
from provisioning.claims import Claim
from runtime.database import Database
from runtime.settings import Settings

BETWEEN_PROGRESS = 0.25
"""Seconds; watchers see at most four updates a second."""


@dataclass
class DatabaseJournal:
    """The journal of one claim."""

    database: Database
    settings: Settings
    claim: Claim
    _shown: tuple[float, int | None, str] = field(default=(-1.0, None, ""))

    def intend(self, kind: str, name: str) -> None:
        """Write a resource into the ledger before it is created. Raises StepStopped when the claim is lost."""
        self.database.transact(engine.intend, self.claim, kind, name)

    def progress(self, percent: int | None, message: str) -> None:
        """Show how far the step is, unless it did so a moment ago."""
        now = time.monotonic()
        shown_at, *shown = self._shown
        if shown == [percent, message] or now - shown_at < BETWEEN_PROGRESS:
            return
        self._shown = (now, percent, message)
        self.database.transact(_show, self.claim, percent, message)

    def unexplained(self, present: Sequence[str]) -> list[str]:
        """Which of these names were not abandoned by an operator."""
        return self.database.transact(engine.unexplained, self.claim, present)

    def testify(self, found: Sequence[str]) -> int:
        """Keep what a look outside found after the undo. Raises StepStopped when the claim is lost."""
        return self.database.transact(engine.testify, self.claim, found)

    def objections(self) -> list[str]:
        """Why the tenant's request cannot be fulfilled as it stands."""
        return self.database.transact(_objections, self.claim, self.settings.regions)


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
    events.notify_feed(session, organisation_id, claim.footprint.tenant_id, "progress")


def _objections(session: Session, claim: Claim, regions: tuple[str, ...]) -> list[str]:
    tenant = session.exec(select(Tenant).where(Tenant.id == claim.footprint.tenant_id)).one()
    return rules.objections(session, tenant, regions)
