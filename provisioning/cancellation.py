"""Cancel requests for one or many tenants, with the resumption of a stuck compensation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists
from sqlmodel import Session, col, select

from models import Run, RunKind, RunStatus, Tenant, TenantState
from provisioning import run_reader, run_store, transitions, validation
from provisioning.actors import Actor
from provisioning.errors import Malformed, NotFound, NotProvisioning, NotStuck, ProvisioningRefused, StaleRun
from provisioning.events import NewEvent, emit_all
from provisioning.locking import Change, locked_live_run, locked_tenant, visible_tenant
from provisioning.position import Position
from provisioning.queries import one_of, visible_tenants
from runtime.database import Statements


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

    Workers compensate the steps later. Raises NotProvisioning, StaleRun, Malformed.
    """
    reason = validation.check_reason(reason)
    visible_tenant(session, tenant_id, by)
    run = _run_to_cancel(session, tenant_id, by)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if run_id is not None and run.id != run_id:
        raise StaleRun(run.number)
    if run.cancel_requested:
        return Change(tenant, run, already_requested=True)
    _request(session, [run.id], by, reason)
    session.refresh(run)
    session.refresh(tenant)
    return Change(tenant, run)


def cancel_provisionings(
    session: Session, tenant_ids: Sequence[UUID], *, by: Actor, reason: str | None = None
) -> list[BulkCancelResult]:
    """Record a cancel request for each tenant. The results are in the order given.

    The runs stay locked until the caller commits. Locks are taken in the order of ids, all runs before all tenants. A
    tenant with a run that began after the lock is cancelled in a separate call. That call can deadlock with another
    bulk cancel: then Postgres aborts one of the two, and it is retried.
    """
    reason = validation.check_reason(reason)
    ids = sorted(set(tenant_ids))
    runs = _locked_runs(session, ids, by)
    results = {run.tenant_id: BulkCancelResult(run.tenant_id, run.id, run.already_requested) for run in runs}
    if new := [run.id for run in runs if not run.already_requested]:
        _request_each(session, new, by, reason)
    results |= _cancel_others(session, [id_ for id_ in ids if id_ not in results], by, reason)
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
    statements = Statements.of(session)
    position = run_reader.read(statements, run.id)
    assert position is not None, "the run is locked"
    _check_skipped(position, skip_steps)
    run_store.write(statements, transitions.compensation_resumed(position, skip_steps, by, reason))
    session.refresh(run)
    session.refresh(tenant)
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


def _request(session: Session, run_ids: Collection[UUID], by: Actor, reason: str | None) -> None:
    """Request the cancel of these runs, which the caller has locked, and start the undo of those without an owner."""
    statements = Statements.of(session)
    for position in run_reader.read_each(statements, run_ids):
        written = run_store.write(statements, transitions.cancel_requested(position, by, reason))
        assert written is not None, "the run is locked, so nothing else has written it"


def _locked_runs(session: Session, tenant_ids: Collection[UUID], by: Actor) -> Sequence[Row[Any]]:
    """The live provisioning runs of the tenants that the actor can access, and whether each has a cancel request."""
    visible = exists().where(col(Tenant.id) == col(Run.tenant_id), visible_tenants(by))
    return session.execute(
        select(Run.id, Run.tenant_id, col(Run.cancel_requested_at).is_not(None).label("already_requested"))
        .where(one_of(col(Run.tenant_id), tenant_ids), col(Run.finished_at).is_(None), visible)
        .where(col(Run.kind) == RunKind.PROVISION)
        .order_by(col(Run.tenant_id))
        .with_for_update(key_share=True, of=Run)
    ).all()


def _cancel_others(
    session: Session, tenant_ids: Sequence[UUID], by: Actor, reason: str | None
) -> dict[UUID, BulkCancelResult]:
    """Refuse the tenants that are not being provisioned, which one statement tells, and cancel each other one."""
    if not tenant_ids:
        return {}
    found = select(Tenant.id, Tenant.state).where(one_of(col(Tenant.id), tenant_ids), visible_tenants(by))
    states = {id_: TenantState(state) for id_, state in session.execute(found)}
    results = {}
    for id_ in tenant_ids:
        if states.get(id_) is TenantState.PROVISIONING:
            results[id_] = _cancel_one(session, id_, by, reason)
        else:
            refusal = NotProvisioning(states[id_]) if id_ in states else NotFound("tenant")
            results[id_] = BulkCancelResult(id_, refusal=refusal)
    return results


def _cancel_one(session: Session, tenant_id: UUID, by: Actor, reason: str | None) -> BulkCancelResult:
    """Cancel a tenant that was not being provisioned when the runs were locked."""
    try:
        change = cancel_provisioning(session, tenant_id, by=by, reason=reason)
    except ProvisioningRefused as refusal:
        return BulkCancelResult(tenant_id, refusal=refusal)
    assert change.run is not None, "an accepted cancel has a run"
    return BulkCancelResult(tenant_id, change.run.id, change.already_requested)


def _request_each(session: Session, run_ids: Collection[UUID], by: Actor, reason: str | None) -> None:
    """Request the cancel of many locked runs in a few statements.

    Their undo is due at once, and left to the workers: to start it here would keep all of them locked for long.
    """
    statements = Statements.of(session)
    requested = [
        transitions.cancel_requested(position, by, reason, leave_undo_to_workers=True)
        for position in run_reader.read_for_cancels(statements, run_ids)
    ]
    run_store.write_cancels(statements, requested)
    events = [
        NewEvent(event.type, one.position.tenant.id, dict(event.data), one.position.run.id, one.position.now)
        for one in requested
        for event in one.events
    ]
    emit_all(session, events, by=by)


def _check_skipped(position: Position, names: Sequence[str]) -> None:
    """Raise Malformed if one of the steps does not wait to be undone."""
    known = {step.name for step in position.steps.values() if step.to_be_undone}
    if unknown := sorted(set(names) - known):
        raise Malformed(
            "skip_steps",
            f"These steps cannot be skipped, they are not waiting to be undone: {', '.join(unknown)[:200]}.",
        )
