"""Commands on tenants. Each one checks, writes, and emits its events in the caller's transaction.

All raise NotFound if the actor cannot access the tenant, and VersionConflict if ``expected_version`` is not the
tenant's version. Further errors are listed at each command.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from models import Organisation, RunKind, Tenant, TenantState
from provisioning import ledger, lifecycle, validation
from provisioning.actors import Actor
from provisioning.errors import IllegalMove, Malformed, NotConfirmed, NotPermitted, Taken
from provisioning.event_types import EventType
from provisioning.events import NewEvent, emit, emit_all
from provisioning.locking import Change, locked_tenant
from provisioning.run_plan import start_decommissioning, start_provisioning
from provisioning.steps import saga
from runtime.database import clock

CONFIRMED_STATES = (TenantState.ACTIVE, TenantState.SUSPENDED)
"""States in which decommissioning destroys resources, so the slug is required as confirmation."""

TAKEN_SLUGS = {"one_holder_per_slug", "one_holder_per_address", "a_live_address_stays_in_its_organisation"}
"""Constraints that refuse a slug: two unique indexes, and the trigger that keeps an address that was live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """The input of createTenant. ``name`` defaults to the slug, ``region`` to the first region."""

    slug: str
    plan: str
    first_admin_email: str
    name: str | None = None
    region: str | None = None
    provisioning_deadline: timedelta | None = None
    start: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """The input of updateTenant. None leaves a value unchanged; ``without_deadline`` removes the deadline."""

    slug: str | None = None
    name: str | None = None
    plan: str | None = None
    region: str | None = None
    first_admin_email: str | None = None
    provisioning_deadline: timedelta | None = None
    without_deadline: bool | None = None

    @property
    def given(self) -> set[str]:
        """Names of the fields that have a value."""
        return {field.name for field in fields(self) if getattr(self, field.name) is not None}


def create_tenant(
    session: Session, wanted: NewTenant, *, organisation_id: UUID, by: Actor, regions: Sequence[str]
) -> Change:
    """Create a tenant and, if ``start`` is True, its first run. Raises Malformed, Taken, QuotaExceeded.

    Six statements with a run: the terms, the tenant, the run, the run's steps, the run as the answer shows it, and the
    events of both. Two more if the plan sets a limit: the organisation's lock, and the count.
    """
    terms = validation.terms_of(session, organisation_id)
    now = terms.now
    tenant = Tenant(
        organisation_id=organisation_id,
        slug=validation.check_slug(wanted.slug),
        name=validation.check_name(wanted.slug if wanted.name is None else wanted.name),
        region=validation.check_region(regions[0] if wanted.region is None else wanted.region, regions),
        plan_code=validation.check_plan(wanted.plan, list(terms.deadlines)),
        first_admin_email=validation.check_email(wanted.first_admin_email),
        address=validation.address_of(wanted.slug, terms.organisation_slug),
        provisioning_deadline=_deadline(wanted.provisioning_deadline),
        state=TenantState.PROVISIONING if wanted.start else TenantState.PENDING,
        version=2 if wanted.start else 1,
        created_at=now,
        updated_at=now,
    )
    if wanted.start:
        validation.require_quota(session, organisation_id, terms)
    _insert(session, tenant)
    created = NewEvent(EventType.TENANT_CREATED, tenant.id, _facts(tenant), at=now)
    if not wanted.start:
        emit_all(session, [created], by=by)
        return Change(tenant)
    deadline = terms.deadlines[tenant.plan_code]
    return Change(tenant, start_provisioning(session, saga, tenant, by, now, deadline=deadline, events=[created]))


def update_tenant(
    session: Session,
    tenant_id: UUID,
    wanted: Corrections,
    *,
    by: Actor,
    regions: Sequence[str],
    expected_version: int | None = None,
) -> Change:
    """Change a tenant. All fields except the name require PENDING or FAILED. Raises IllegalMove, Malformed, Taken."""
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    _check_correctable(tenant, wanted.given)
    before = _facts(tenant)
    with session.no_autoflush:  # only the flush below may raise Taken
        _apply(session, tenant, wanted, regions)
        now = clock(session)
    if (after := _facts(tenant)) == before:
        return Change(tenant)
    tenant.version += 1
    tenant.updated_at = now
    _flush_unless_taken(session, tenant)
    changes = {key: [before[key], after[key]] for key in after if before[key] != after[key]}
    emit(session, tenant, EventType.TENANT_UPDATED, {"changes": changes}, by=by)
    return Change(tenant)


def retry_provisioning(session: Session, tenant_id: UUID, *, by: Actor, expected_version: int | None = None) -> Change:
    """Start the next run of a PENDING or FAILED tenant. Raises IllegalMove, QuotaExceeded."""
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    return _start(session, tenant, by)


def suspend_tenant(
    session: Session, tenant_id: UUID, *, by: Actor, reason: str | None = None, expected_version: int | None = None
) -> Change:
    """Stop serving the tenant's traffic. All resources stay. Raises IllegalMove, Malformed."""
    reason = validation.check_reason(reason)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    _move(session, tenant, TenantState.SUSPENDED)
    emit(session, tenant, EventType.SUSPENDED, {"reason": reason}, by=by)
    return Change(tenant)


def resume_tenant(session: Session, tenant_id: UUID, *, by: Actor, expected_version: int | None = None) -> Change:
    """Serve the traffic of a SUSPENDED tenant again. Raises IllegalMove."""
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if tenant.state is not TenantState.SUSPENDED:
        raise IllegalMove(tenant.state, [TenantState.SUSPENDED])
    _move(session, tenant, TenantState.ACTIVE)
    emit(session, tenant, EventType.RESUMED, {}, by=by)
    return Change(tenant)


def decommission_tenant(
    session: Session,
    tenant_id: UUID,
    *,
    by: Actor,
    confirm_slug: str | None = None,
    expected_version: int | None = None,
) -> Change:
    """Release all resources permanently: at once if none is held, otherwise by a run that compensates all steps.

    Raises IllegalMove, NotConfirmed.
    """
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    if tenant.state in lifecycle.STATES_WITHOUT_RESOURCES:
        _move(session, tenant, TenantState.DECOMMISSIONED)
        facts = {"released": [], "abandoned": ledger.left_behind(session, tenant.id)}
        emit(session, tenant, EventType.DEPROVISIONING_COMPLETED, facts, by=by)
        return Change(tenant)
    if tenant.state not in CONFIRMED_STATES:
        raise IllegalMove(tenant.state, [*CONFIRMED_STATES, *sorted(lifecycle.STATES_WITHOUT_RESOURCES)])
    if confirm_slug != tenant.slug:
        raise NotConfirmed
    _move(session, tenant, TenantState.DECOMMISSIONING)
    return Change(tenant, start_decommissioning(session, tenant, by, clock(session)))


def recreate_tenant(
    session: Session, tenant_id: UUID, *, by: Actor, regions: Sequence[str], expected_version: int | None = None
) -> Change:
    """Create a new tenant with the values of a DECOMMISSIONED one, and provision it.

    Raises IllegalMove, NotPermitted, Taken, Malformed, QuotaExceeded.
    """
    old = locked_tenant(session, tenant_id, by, expected_version)
    if by.tenant_ids is not None:
        raise NotPermitted("create tenants: this service account is limited to some tenants")
    if old.state is not TenantState.DECOMMISSIONED:
        raise IllegalMove(old.state, [TenantState.DECOMMISSIONED])
    wanted = NewTenant(
        slug=old.slug,
        plan=old.plan_code,
        first_admin_email=old.first_admin_email,
        name=old.name,
        region=old.region,
        provisioning_deadline=old.provisioning_deadline,
        start=False,
    )
    fresh = create_tenant(session, wanted, organisation_id=old.organisation_id, by=by, regions=regions).tenant
    fresh.recreated_from_id = old.id
    emit(session, fresh, EventType.RECREATED, {"recreated_from": str(old.id)}, by=by)
    return _start(session, fresh, by)


def _start(session: Session, tenant: Tenant, by: Actor) -> Change:
    """Move a PENDING or FAILED tenant to PROVISIONING, with a new run."""
    _check_move(tenant, TenantState.PROVISIONING)
    terms = validation.terms_of(session, tenant.organisation_id)
    validation.require_quota(session, tenant.organisation_id, terms)
    _move(session, tenant, TenantState.PROVISIONING)
    deadline = terms.deadlines[tenant.plan_code]
    run = start_provisioning(session, saga, tenant, by, tenant.updated_at, deadline=deadline)
    assert run.kind is RunKind.PROVISION
    return Change(tenant, run)


def _check_move(tenant: Tenant, to: TenantState) -> None:
    if to not in lifecycle.TRANSITIONS[tenant.state]:
        raise IllegalMove(tenant.state, lifecycle.allowed_from(to))


def _move(session: Session, tenant: Tenant, to: TenantState) -> None:
    lifecycle.transition(tenant, to)
    tenant.updated_at = clock(session)
    session.flush()


def _check_correctable(tenant: Tenant, given: set[str]) -> None:
    if tenant.state in lifecycle.STATES_WITHOUT_RESOURCES:
        return
    gone = {TenantState.DECOMMISSIONING, TenantState.DECOMMISSIONED}
    if given - {"name"} or tenant.state in gone:
        raise IllegalMove(tenant.state, sorted(lifecycle.STATES_WITHOUT_RESOURCES))


def _apply(session: Session, tenant: Tenant, wanted: Corrections, regions: Sequence[str]) -> None:
    if wanted.slug is not None:
        tenant.slug = validation.check_slug(wanted.slug)
        organisation = session.get_one(Organisation, tenant.organisation_id)
        tenant.address = validation.address_of(tenant.slug, organisation.slug)
    if wanted.name is not None:
        tenant.name = validation.check_name(wanted.name)
    if wanted.plan is not None:
        tenant.plan_code = validation.check_plan(wanted.plan, validation.plan_codes(session))
    if wanted.region is not None:
        tenant.region = validation.check_region(wanted.region, regions)
    if wanted.first_admin_email is not None:
        tenant.first_admin_email = validation.check_email(wanted.first_admin_email)
    if wanted.provisioning_deadline is not None:
        tenant.provisioning_deadline = _deadline(wanted.provisioning_deadline)
    if wanted.without_deadline:
        tenant.provisioning_deadline = None


def _insert(session: Session, tenant: Tenant) -> None:
    session.add(tenant)
    _flush_unless_taken(session, tenant)


def _flush_unless_taken(session: Session, tenant: Tenant) -> None:
    """Let the constraints of the table decide whether a slug is free: a query before the insert would be a race."""
    slug = tenant.slug  # the row cannot be read after a failed flush
    try:
        session.flush()
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if constraint in TAKEN_SLUGS:
            raise Taken("slug", slug) from None
        raise


def _deadline(wanted: timedelta | None) -> timedelta | None:
    if wanted is not None and not timedelta(seconds=1) <= wanted <= timedelta(days=30):
        raise Malformed("provisioning_deadline", "The provisioning deadline must be between one second and 30 days.")
    return wanted


def _facts(tenant: Tenant) -> dict[str, Any]:
    deadline = tenant.provisioning_deadline
    return {
        "slug": tenant.slug,
        "name": tenant.name,
        "region": tenant.region,
        "plan": tenant.plan_code,
        "first_admin_email": tenant.first_admin_email,
        "provisioning_deadline_s": deadline.total_seconds() if deadline else None,
    }
