"""The abandoned resources of the ledger. ``transitions`` decides about all others, and ``run_store`` writes them."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, null, update
from sqlmodel import Session, col, select

from models import Resource, ResourceStatus, Run
from provisioning.step_context import Abandoned


def run_that_took(run: Run) -> UUID:
    """The run that took the resources: this run or, for a decommission, the run that it releases."""
    return run.releases_run_id or run.id


def left_behind(session: Session, tenant_id: UUID) -> list[dict[str, Any]]:
    """What operators abandoned in any run of the tenant and may still exist, with who, when and why, for the feed."""
    rows = session.execute(
        select(Resource, Run.number)
        .join(Run, col(Run.id) == col(Resource.run_id))
        .where(Resource.tenant_id == tenant_id, Resource.is_left_behind())
        .order_by(col(Resource.id))
    )
    return [
        {
            "kind": resource.kind,
            "name": resource.name,
            "step": resource.step,
            "run_number": number,
            "by": resource.abandoned_by,
            "at": resource.abandoned_at.astimezone(UTC).isoformat() if resource.abandoned_at else None,
            "reason": resource.abandoned_reason,
        }
        for resource, number in rows
    ]


def record_absence_of_abandoned(session: Session, run: Run, found: Collection[str], at: datetime) -> None:
    """Record for each abandoned resource of the run whether a probe that every adapter answered found it."""
    absent = case((col(Resource.name).in_(found), null()), else_=func.coalesce(Resource.absent_at, at))
    session.execute(
        update(Resource)
        .where(col(Resource.run_id) == run_that_took(run), col(Resource.status) == ResourceStatus.ABANDONED)
        .values(absent_at=absent)
        .execution_options(synchronize_session=False)
    )


def abandoned(session: Session, run: Run) -> Abandoned:
    """The resources of the run that were abandoned."""
    rows = session.exec(
        select(Resource.name, Resource.step).where(
            Resource.run_id == run_that_took(run), Resource.status == ResourceStatus.ABANDONED
        )
    ).all()
    return Abandoned(frozenset(name for name, _ in rows), frozenset(step for _, step in rows))
