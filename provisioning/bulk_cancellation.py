"""Cancelling many at once: a handful of statements however many there are, and workers turn them back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, any_, case, exists, func, literal, null, update
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from models import Run, RunKind, RunStatus, RunStep, StepStatus, Tenant
from models.columns import UUID_ARRAY
from provisioning import validation
from provisioning.actors import Actor
from provisioning.cancellation import cancel_provisioning
from provisioning.errors import ProvisioningRefused
from provisioning.events import EventType, Fact, emit_each, notify_cancels
from provisioning.queries import visible_tenants


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """What became of one tenant of a bulk cancel: the run that stops, or why none does."""

    tenant_id: UUID
    run_id: UUID | None = None
    already_requested: bool = False
    refusal: ProvisioningRefused | None = None


def cancel_provisionings(
    session: Session, tenant_ids: Sequence[UUID], *, by: Actor, reason: str | None = None
) -> list[BulkAnswer]:
    """Put a stop on record for each; answers in the order given. Every run is locked until the caller commits.

    What nobody is at is due at once, and a sweeper turns it back: to end hundreds of runs here would keep the rest
    locked. Locks are taken in the order of ids, all runs before all tenants. Only who goes one by one, because its run
    began a moment ago, may deadlock with another of these: Postgres ends one of the two, and it is repeated.
    """
    reason = validation.check_reason(reason)
    ids = sorted(set(tenant_ids))
    live = _locked_runs(session, ids, by)
    answers = {one.tenant_id: BulkAnswer(one.tenant_id, one.id, one.already_requested) for one in live}
    first = [answer.run_id for answer in answers.values() if answer.run_id and not answer.already_requested]
    if first:
        _put_on_record(session, first, by, reason)
    answers |= {one: _one_by_one(session, one, by, reason) for one in ids if one not in answers}
    return [answers[tenant_id] for tenant_id in tenant_ids]


def _put_on_record(session: Session, run_ids: Collection[UUID], by: Actor, reason: str | None) -> None:
    """Write down who asked, in each run; tell the feed and whoever is at work."""
    asked = _ask_to_stop(session, run_ids, by, reason)
    facts = [Fact(one.tenant_id, one.id, {"reason": reason, "step_in_flight": one.step}, one.at) for one in asked]
    emit_each(session, EventType.CANCEL_REQUESTED, facts, by=by)
    if at_work := [one.id for one in asked if one.owned]:
        notify_cancels(session, at_work)


def _ask_to_stop(session: Session, run_ids: Collection[UUID], by: Actor, reason: str | None) -> Sequence[Row[Any]]:
    """What ``cancel_provisioning`` writes into a run, for all of these. One that is STUCK waits for a person still."""
    # One time for all columns of a row, and after its lock was got: that was another statement.
    now = func.statement_timestamp()
    owned, stuck = col(Run.lease_until) > now, col(Run.status) == RunStatus.STUCK
    step = (
        select(RunStep.name)
        .where(col(RunStep.run_id) == col(Run.id), col(RunStep.status) == StepStatus.RUNNING)
        .limit(1)
        .scalar_subquery()
    )
    written = session.execute(
        update(Run)
        .where(_one_of(run_ids, col(Run.id)))
        .values(
            status=case((stuck, col(Run.status)), else_=RunStatus.CANCELLING),
            cancel_requested_at=now,
            cancel_actor_kind=by.kind,
            cancel_actor_id=by.id,
            cancel_actor_name=by.email or by.name,
            cancel_reason=reason,
            cancel_step_in_flight=step,
            lease_token=case((owned, col(Run.lease_token)), else_=null()),
            lease_until=case((owned, col(Run.lease_until)), else_=null()),
            lease_owner=case((owned, col(Run.lease_owner)), else_=null()),
            due_at=case((owned | stuck, col(Run.due_at)), else_=now),
        )
        .returning(
            col(Run.id),
            col(Run.tenant_id),
            col(Run.cancel_step_in_flight).label("step"),
            col(Run.cancel_requested_at).label("at"),
            col(Run.lease_token).is_not(None).label("owned"),
        )
        .execution_options(synchronize_session=False)
    )
    return written.all()


def _locked_runs(session: Session, tenant_ids: Collection[UUID], by: Actor) -> Sequence[Row[Any]]:
    """The live provisioning runs of those tenants that exist for somebody: run, tenant, whether it was told to stop."""
    visible = exists().where(col(Tenant.id) == col(Run.tenant_id), visible_tenants(by))
    return session.execute(
        select(Run.id, Run.tenant_id, col(Run.cancel_requested_at).is_not(None).label("already_requested"))
        .where(_one_of(tenant_ids, col(Run.tenant_id)), col(Run.finished_at).is_(None), visible)
        .where(col(Run.kind) == RunKind.PROVISION)
        .order_by(col(Run.tenant_id))
        .with_for_update(key_share=True, of=Run)
    ).all()


def _one_of(ids: Collection[UUID], column: Mapped[UUID]) -> ColumnElement[bool]:
    """One parameter however many there are: the statement is compiled and planned once."""
    return column == any_(literal(list(ids), UUID_ARRAY))


def _one_by_one(session: Session, tenant_id: UUID, by: Actor, reason: str | None) -> BulkAnswer:
    """For whom no run was found: there is none, or it began a moment ago."""
    try:
        change = cancel_provisioning(session, tenant_id, by=by, reason=reason)
    except ProvisioningRefused as refusal:
        return BulkAnswer(tenant_id, refusal=refusal)
    assert change.run is not None, "a cancel concerns a run"
    return BulkAnswer(tenant_id, change.run.id, change.already_requested)
