"""Cancel requests for one or many tenants, with the resumption of a stuck compensation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, any_, case, exists, func, literal, null, update
from sqlalchemy.orm import Mapped
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, col, select

from models import Run, RunKind, RunStatus, RunStep, StepStatus, Tenant, TenantState
from models.columns import UUID_ARRAY
from provisioning import ledger, settlement, validation
from provisioning.actors import Actor
from provisioning.decisions import way_back
from provisioning.errors import Malformed, NotProvisioning, NotStuck, ProvisioningRefused, StaleRun
from provisioning.events import EventType, NewEvent, emit_each, notify_cancels
from provisioning.locking import Change, locked_live_run, locked_tenant, visible_tenant
from provisioning.queries import visible_tenants
from provisioning.settlement import Position


@dataclass(frozen=True, slots=True)
class BulkCancelResult:
    """The result for one tenant of a bulk cancel: the run that stops, or the refusal."""

    tenant_id: UUID
    run_id: UUID | None = None
    already_requested: bool = False
    refusal: ProvisioningRefused | None = None


def cancel_provisioning(
    session: Session,
    tenant_id: UUID,
    *,
    by: Actor,
    reason: str | None = None,
    run_id: UUID | None = None,
    expected_version: int | None = None,
) -> Change:
    """Record a cancel request. After its commit no forward step is claimed, and the run cannot make the tenant ACTIVE.

    The engine compensates the steps later. Raises NotProvisioning, StaleRun, Malformed.
    """
    reason = validation.check_reason(reason)
    visible_tenant(session, tenant_id, by)
    run = _run_to_cancel(session, tenant_id, by)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if run_id is not None and run.id != run_id:
        raise StaleRun(run.number)
    if run.cancel_requested:
        return Change(tenant, run, already_requested=True)
    _record_requests(session, [run.id], by, reason)
    session.refresh(run)
    set_committed_value(tenant, "updated_at", run.cancel_requested_at)  # the event wrote it
    if run.status is RunStatus.CANCELLING and run.lease_token is None:
        _start_compensating(session, settlement.position_of(session, run))
    return Change(tenant, run)


def cancel_provisionings(
    session: Session, tenant_ids: Sequence[UUID], *, by: Actor, reason: str | None = None
) -> list[BulkCancelResult]:
    """Record a cancel request for each tenant. The results are in the order given.

    The runs stay locked until the caller commits. A run without an owner becomes due at once, and a sweeper starts its
    compensation: ending hundreds of runs here would keep all of them locked for long. Locks are taken in the order of
    ids, all runs before all tenants. A tenant without a locked run (no run, or a run started after the lock) is
    cancelled in a separate call. That call can deadlock with another bulk cancel: then Postgres aborts one of the two,
    and it is retried.
    """
    reason = validation.check_reason(reason)
    ids = sorted(set(tenant_ids))
    runs = _locked_runs(session, ids, by)
    results = {run.tenant_id: BulkCancelResult(run.tenant_id, run.id, run.already_requested) for run in runs}
    if new := [run.id for run in runs if not run.already_requested]:
        _record_requests(session, new, by, reason)
    results |= {id_: _cancel_one(session, id_, by, reason) for id_ in ids if id_ not in results}
    return [results[tenant_id] for tenant_id in tenant_ids]


def resume_compensation(
    session: Session,
    tenant_id: UUID,
    *,
    by: Actor,
    skip_steps: Sequence[str] = (),
    reason: str | None = None,
    expected_version: int | None = None,
) -> Change:
    """Resume the compensation of a STUCK run. Skipped steps are abandoned with the reason.

    Raises NotStuck, Malformed.
    """
    reason = validation.check_reason(reason)
    if skip_steps and not reason:
        raise Malformed("reason", "A reason is required to skip steps: it is recorded in the audit feed.")
    visible_tenant(session, tenant_id, by)
    run = locked_live_run(session, tenant_id)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if run is None or run.status is not RunStatus.STUCK:
        raise NotStuck(tenant.state)
    position = settlement.position_of(session, run)
    abandoned = _skip(session, position, skip_steps, by, reason)
    facts = {"skipped": list(skip_steps), "abandoned": abandoned, "reason": reason}
    _resume(session, position, by, facts)
    return Change(tenant, run)


def _run_to_cancel(session: Session, tenant_id: UUID, by: Actor) -> Run:
    """The live provisioning run, locked. Raises NotProvisioning with a state that was read after no run was found."""
    while True:
        run = locked_live_run(session, tenant_id)
        if run is not None and run.kind is RunKind.PROVISION:
            return run
        tenant = visible_tenant(session, tenant_id, by)
        if run is not None or tenant.state is not TenantState.PROVISIONING:
            raise NotProvisioning(tenant.state)


def _record_requests(session: Session, run_ids: Collection[UUID], by: Actor, reason: str | None) -> None:
    """Record the request in each run, emit its event, and notify the workers that own one of the runs."""
    requested = _request_stops(session, run_ids, by, reason)
    events = [
        NewEvent(run.tenant_id, run.id, {"reason": reason, "step_in_flight": run.step}, run.at) for run in requested
    ]
    emit_each(session, EventType.CANCEL_REQUESTED, events, by=by)
    if owned := [run.id for run in requested if run.owned]:
        notify_cancels(session, owned)


def _request_stops(session: Session, run_ids: Collection[UUID], by: Actor, reason: str | None) -> Sequence[Row[Any]]:
    """Write the request into the runs, and release lapsed leases.

    A STUCK run stays STUCK: it waits for resumeCompensation.
    """
    # One time for all columns. It is after the time of the lock, which an earlier statement took.
    now = func.statement_timestamp()
    owned, stuck = col(Run.lease_until) > now, col(Run.status) == RunStatus.STUCK
    step = (
        select(RunStep.name)
        .where(col(RunStep.run_id) == col(Run.id), col(RunStep.status) == StepStatus.RUNNING)
        .limit(1)
        .scalar_subquery()
    )
    requested = session.execute(
        update(Run)
        .where(_is_in(run_ids, col(Run.id)))
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
    return requested.all()


def _locked_runs(session: Session, tenant_ids: Collection[UUID], by: Actor) -> Sequence[Row[Any]]:
    """The live provisioning runs of the tenants that the actor can access, and whether each has a cancel request."""
    visible = exists().where(col(Tenant.id) == col(Run.tenant_id), visible_tenants(by))
    return session.execute(
        select(Run.id, Run.tenant_id, col(Run.cancel_requested_at).is_not(None).label("already_requested"))
        .where(_is_in(tenant_ids, col(Run.tenant_id)), col(Run.finished_at).is_(None), visible)
        .where(col(Run.kind) == RunKind.PROVISION)
        .order_by(col(Run.tenant_id))
        .with_for_update(key_share=True, of=Run)
    ).all()


def _is_in(ids: Collection[UUID], column: Mapped[UUID]) -> ColumnElement[bool]:
    """One array parameter for any number of ids, so that the statement is compiled and planned once."""
    return column == any_(literal(list(ids), UUID_ARRAY))


def _cancel_one(session: Session, tenant_id: UUID, by: Actor, reason: str | None) -> BulkCancelResult:
    """Cancel a tenant without a locked run: it has no run, or its run began after the runs were locked."""
    try:
        change = cancel_provisioning(session, tenant_id, by=by, reason=reason)
    except ProvisioningRefused as refusal:
        return BulkCancelResult(tenant_id, refusal=refusal)
    assert change.run is not None, "an accepted cancel has a run"
    return BulkCancelResult(tenant_id, change.run.id, change.already_requested)


def _start_compensating(session: Session, position: Position) -> None:
    """Start compensating at once: no worker owns the run, so no step in progress has to be waited for."""
    for step in position.steps:
        if step.status is StepStatus.RUNNING:
            settlement.interrupt_idle(session, position, step)
        elif step.status is StepStatus.COMPENSATING:
            settlement.clear_attempt(step)
    settlement.release_lease(position.run, due=position.now)
    settlement.advance(session, position)


def _skip(
    session: Session, position: Position, names: Sequence[str], by: Actor, reason: str | None
) -> list[dict[str, str]]:
    """Abandon the steps with these names. Returns their resources."""
    known = {step.name for step in position.steps if step.to_be_undone}
    if unknown := sorted(set(names) - known):
        raise Malformed(
            "skip_steps",
            f"These steps cannot be skipped, they are not waiting to be undone: {', '.join(unknown)[:200]}.",
        )
    abandoned: list[dict[str, str]] = []
    for name in dict.fromkeys(names):
        assert reason is not None, "the caller has checked that a reason is given"
        position.step(name).status = StepStatus.ABANDONED
        abandoned += ledger.abandon(session, position.run, name, by, reason, position.now)
    return abandoned


def _resume(session: Session, position: Position, by: Actor, facts: dict[str, Any]) -> None:
    run = position.run
    run.status = way_back(run)
    run.due_at = position.now
    run.stuck_since = run.stuck_step = run.stuck_error = None
    for step in position.steps:
        _reset_attempts(step)
    position.emit(session, EventType.COMPENSATION_RESUMED, facts, by=by)
    set_committed_value(position.tenant, "updated_at", position.now)  # the event wrote it
    settlement.advance(session, position)


def _reset_attempts(step: RunStep) -> None:
    """Give the failed compensation all its attempts again, and count its time from zero."""
    if step.status is StepStatus.COMPENSATION_FAILED:
        step.status = StepStatus.COMPENSATING
        step.compensation_attempts = 0
        step.compensation_started_at = None
        step.compensation_delayed_at = None
