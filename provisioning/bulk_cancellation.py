"""Cancelling many at once: a handful of statements however many there are, and workers turn them back."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from models import Run, RunKind, RunStatus, RunStep, StepStatus, Tenant
from provisioning import rules, settlement
from provisioning.actors import Actor
from provisioning.cancellation import cancel_provisioning, owned, request
from provisioning.errors import ProvisioningRefused
from provisioning.events import EventType, Fact, emit_each, notify_cancels
from provisioning.lookup import Change
from provisioning.queries import visible_tenants
from runtime.database import clock


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """What became of one tenant of a bulk cancel: a change or a refusal."""

    tenant_id: UUID
    change: Change | None
    refusal: ProvisioningRefused | None


def cancel_provisionings(
    session: Session, tenant_ids: Sequence[UUID], *, by: Actor, reason: str | None = None
) -> list[BulkAnswer]:
    """Put a stop on record for each; answers in the order given. Every run is locked until the caller commits.

    What nobody is at is due at once, and a sweeper turns it back: to end hundreds of runs here would keep the rest
    locked. Locks are taken in the order of ids, all runs before all tenants. Only who goes one by one, because its run
    began a moment ago, may deadlock with another of these: Postgres ends one of the two, and it is repeated.
    """
    reason = rules.check_reason(reason)
    ids = sorted(set(tenant_ids))
    runs = {run.tenant_id: run for run in _locked_runs(session, ids, by)}
    tenants = _locked_tenants(session, runs)
    first = [run for run in runs.values() if not run.cancel_requested]
    already = runs.keys() - {run.tenant_id for run in first}
    _put_on_record(session, first, tenants, by, reason)
    answers = {
        tenant_id: BulkAnswer(tenant_id, Change(tenants[tenant_id], run, tenant_id in already), None)
        for tenant_id, run in runs.items()
    }
    answers |= {tenant_id: _one_by_one(session, tenant_id, by, reason) for tenant_id in ids if tenant_id not in runs}
    return [answers[tenant_id] for tenant_id in tenant_ids]


def _put_on_record(
    session: Session, runs: Sequence[Run], tenants: Mapping[UUID, Tenant], by: Actor, reason: str | None
) -> None:
    """Write down who asked, in each run; tell the feed and whoever is at work."""
    if not runs:
        return
    now, in_flight = clock(session), _in_flight(session, runs)
    # Written together at the end: one round trip for all runs, one for all events.
    with session.no_autoflush:
        facts = [
            Fact(tenants[run.tenant_id], run, request(run, by, reason, in_flight.get(run.id), now), now) for run in runs
        ]
        emit_each(session, EventType.CANCEL_REQUESTED, facts, by=by)
        if at_work := [run.id for run in runs if owned(run, now)]:
            notify_cancels(session, at_work)
        for run in runs:
            _turn_back(run, now)


def _turn_back(run: Run, now: datetime) -> None:
    """Let whoever sweeps next find a run that nobody is at. One that is STUCK waits for a person all the same."""
    if run.status is RunStatus.STUCK:
        return
    run.status = RunStatus.CANCELLING
    if not owned(run, now):
        settlement.release_lease(run, due=now)


def _locked_runs(session: Session, tenant_ids: Collection[UUID], by: Actor) -> Sequence[Run]:
    """The live provisioning runs of those tenants that exist for somebody."""
    visible = select(Tenant.id).where(col(Tenant.id).in_(tenant_ids), visible_tenants(by))
    return session.exec(
        select(Run)
        .where(col(Run.tenant_id).in_(visible), col(Run.finished_at).is_(None), Run.kind == RunKind.PROVISION)
        .order_by(col(Run.tenant_id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def _locked_tenants(session: Session, tenant_ids: Collection[UUID]) -> Mapping[UUID, Tenant]:
    found = session.exec(
        select(Tenant)
        .where(col(Tenant.id).in_(tenant_ids))
        .order_by(col(Tenant.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {tenant.id: tenant for tenant in found}


def _in_flight(session: Session, runs: Sequence[Run]) -> dict[UUID, str]:
    """The step that each of these runs is in the middle of."""
    running = select(RunStep.run_id, RunStep.name).where(
        col(RunStep.run_id).in_([run.id for run in runs]), RunStep.status == StepStatus.RUNNING
    )
    return dict(session.exec(running).all())


def _one_by_one(session: Session, tenant_id: UUID, by: Actor, reason: str | None) -> BulkAnswer:
    """For whom no run was found: there is none, or it began a moment ago."""
    try:
        return BulkAnswer(tenant_id, cancel_provisioning(session, tenant_id, by=by, reason=reason), None)
    except ProvisioningRefused as refusal:
        return BulkAnswer(tenant_id, None, refusal)
