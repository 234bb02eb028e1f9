"""The resource ledger: a resource is intended before it is created, held after its step, released when absent."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, null, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models import Resource, ResourceStatus, Run
from models.columns import new_id
from provisioning.actors import Actor
from provisioning.step_context import Abandoned

MAY_BE_HELD = (ResourceStatus.INTENDED, ResourceStatus.HELD)


def run_that_took(run: Run) -> UUID:
    """The run that took the resources: this run or, for a decommission, the run that it releases."""
    return run.releases_run_id or run.id


def intend(session: Session, run: Run, step: str, kind: str, name: str) -> None:
    """Record a resource before it is created. Does nothing if an earlier attempt recorded it."""
    session.exec(
        insert(Resource)
        .values(
            id=new_id(),
            run_id=run.id,
            tenant_id=run.tenant_id,
            step=step,
            kind=kind,
            name=name,
            status=ResourceStatus.INTENDED,
            intended_at=func.clock_timestamp(),
        )
        .on_conflict_do_nothing(constraint="a_run_takes_a_resource_once")
    )


def hold(session: Session, run: Run, step: str, at: datetime) -> list[dict[str, str]]:
    """Mark the resources that a step intended as held. Returns them for the audit feed."""
    return _mark(session, run, step, [ResourceStatus.INTENDED], status=ResourceStatus.HELD, held_at=at)


def release(session: Session, run: Run, step: str, at: datetime) -> list[dict[str, str]]:
    """Mark the resources that a step took or may have taken as released. Returns them for the audit feed."""
    return _mark(session, run, step, MAY_BE_HELD, status=ResourceStatus.RELEASED, released_at=at)


def abandon(session: Session, run: Run, step: str, by: Actor, reason: str, at: datetime) -> list[dict[str, str]]:
    """Mark the resources that a step took as abandoned. Returns them for the audit feed."""
    return _mark(
        session,
        run,
        step,
        MAY_BE_HELD,
        status=ResourceStatus.ABANDONED,
        abandoned_at=at,
        abandoned_by_kind=by.kind,
        abandoned_by_id=by.id,
        abandoned_by=by.email or by.name,
        abandoned_reason=reason,
    )


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


def still_held(session: Session, run: Run) -> list[dict[str, str]]:
    """The resources that the run holds or may hold."""
    return _resources(session, run, MAY_BE_HELD)


def abandoned(session: Session, run: Run) -> Abandoned:
    """The resources of the run that were abandoned."""
    rows = session.exec(
        select(Resource.name, Resource.step).where(
            Resource.run_id == run_that_took(run), Resource.status == ResourceStatus.ABANDONED
        )
    ).all()
    return Abandoned(frozenset(name for name, _ in rows), frozenset(step for _, step in rows))


def released(session: Session, run: Run) -> list[dict[str, str]]:
    """The resources of the run that were released."""
    return _resources(session, run, [ResourceStatus.RELEASED])


def _resources(session: Session, run: Run, statuses: Sequence[ResourceStatus]) -> list[dict[str, str]]:
    rows = session.exec(
        select(Resource.kind, Resource.name)
        .where(Resource.run_id == run_that_took(run), col(Resource.status).in_(statuses))
        .order_by(col(Resource.id))
    )
    return [{"kind": kind, "name": name} for kind, name in rows]


def _mark(session: Session, run: Run, step: str, from_: Sequence[ResourceStatus], **to: object) -> list[dict[str, str]]:
    rows = session.execute(
        update(Resource)
        .where(col(Resource.run_id) == run_that_took(run), col(Resource.step) == step, col(Resource.status).in_(from_))
        .values(**to)
        .returning(col(Resource.kind), col(Resource.name))
        .execution_options(synchronize_session=False, autoflush=False)
    )
    return [{"kind": kind, "name": name} for kind, name in rows]
