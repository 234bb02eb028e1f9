"""Queries on tenants, runs and organisations, limited to what the actor can access."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, any_, exists, func, literal, null, select, true
from sqlalchemy.orm import Mapped, load_only
from sqlalchemy.orm.interfaces import ORMOption
from sqlmodel import Session, SQLModel, col

from models import (
    AbsenceCheck,
    ActorKind,
    Member,
    Organisation,
    Plan,
    Resource,
    Run,
    RunStep,
    ServiceAccount,
    StepRole,
    Tenant,
    TenantState,
)
from models.columns import UUID_ARRAY
from provisioning.actors import PLATFORM, Actor
from provisioning.pagination import Order, Page, Window, page_of, pages_by_parent
from provisioning.position import MAY_BE_HELD
from provisioning.validation import Quota, counted_tenants

MAX_COUNT = 10_000
"""Counting stops here, so that a count stays fast."""

FIRST_SURROGATE, AFTER_SURROGATES = 0xD800, 0xE000
"""Between them are code points that no text in Postgres has."""

Row = TypeVar("Row", bound=SQLModel)


class TenantSort(StrEnum):
    """Sort keys of tenants. Each has an index that starts with the organisation's id."""

    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    SLUG = "slug"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFilter:
    """Conditions on tenants, joined by AND; None is no condition."""

    states: Sequence[TenantState] | None = None
    plans: Sequence[str] | None = None
    slug_prefix: str | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None
    has_abandoned_resources: bool | None = None


def tenant_order(sort: TenantSort, *, descending: bool) -> Order:
    """The order for a sort key, with the id as the tie-breaker."""
    return Order((col(getattr(Tenant, sort.value)), col(Tenant.id)), descending)


def tenants(session: Session, wanted: TenantFilter, order: Order, window: Window, *, by: Actor) -> Page[Tenant]:
    """A page of tenants that the actor can access. Index: tenants_by_creation, tenants_by_change or tenants_by_slug."""
    return page_of(session.scalars(order.paginate(_matching(wanted, by), window)).all(), window)


def count_tenants(session: Session, wanted: TenantFilter, *, by: Actor) -> int:
    """The number of matching tenants, at most MAX_COUNT."""
    matching = _matching(wanted, by).with_only_columns(col(Tenant.organisation_id), col(Tenant.id)).limit(MAX_COUNT)
    counted = select(func.count()).select_from(matching.subquery())
    return session.scalar(counted.execution_options(reads=matching)) or 0


def ids_of_tenant(tenant_id: UUID | ScalarSelect[UUID]) -> Select[UUID, UUID]:
    """The ids of a tenant's organisation and of the tenant: the option ``reads`` of a statement about this tenant.

    The support access log records the rows that such a statement is about, although none is loaded.
    """
    return select(col(Tenant.organisation_id), col(Tenant.id)).where(col(Tenant.id) == tenant_id)


def tenant_ids(session: Session, wanted: TenantFilter, limit: int, *, by: Actor) -> list[UUID]:
    """Ids of matching tenants, oldest first. Index: tenants_by_state or tenants_by_creation."""
    matching = _matching(wanted, by).with_only_columns(col(Tenant.id))
    return list(session.scalars(matching.order_by(col(Tenant.created_at), col(Tenant.id)).limit(limit)))


def tenant_of_slug(session: Session, slug: str, *, by: Actor) -> Tenant | None:
    """The tenant that has this slug now. Index: one_holder_per_slug."""
    held = select(Tenant).where(
        visible_tenants(by), col(Tenant.slug) == slug, col(Tenant.state) != TenantState.DECOMMISSIONED
    )
    return session.scalars(held.order_by(col(Tenant.created_at).desc()).limit(1)).one_or_none()


def tenants_by_id(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, Tenant]:
    """The rows with these ids that the actor can access."""
    found = session.scalars(select(Tenant).where(one_of(col(Tenant.id), ids), visible_tenants(by)))
    return {tenant.id: tenant for tenant in found}


def runs_by_id(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, Run]:
    """The rows with these ids that the actor can access."""
    found = session.scalars(select(Run).where(one_of(col(Run.id), ids), visible_runs(by)))
    return {run.id: run for run in found}


def live_runs(session: Session, tenants: Sequence[UUID], *, by: Actor) -> dict[UUID, Run]:
    """Runs that have not settled, by tenant. Index: one_live_run_per_tenant."""
    found = session.scalars(
        select(Run).where(one_of(col(Run.tenant_id), tenants), col(Run.finished_at).is_(None), visible_runs(by))
    )
    return {run.tenant_id: run for run in found}


def runs_of_tenants(session: Session, tenants: Sequence[UUID], window: Window, *, by: Actor) -> dict[UUID, Page[Run]]:
    """The same page of the runs of each tenant, newest first. Index: runs_are_numbered_per_tenant."""
    inner = select(Run).where(visible_runs(by))
    newest_first = Order((col(Run.number),), descending=True)
    return pages_by_parent(session, inner, Run, col(Run.tenant_id), tenants, newest_first, window)


def steps_of_runs(session: Session, runs: Sequence[UUID]) -> dict[UUID, list[RunStep]]:
    """The steps of each run, in the order of the saga. The caller has checked access to the runs."""
    found = session.scalars(
        select(RunStep)
        .where(one_of(col(RunStep.run_id), runs), col(RunStep.role) != StepRole.CONFIRMATION)
        .order_by(col(RunStep.run_id), col(RunStep.position))
    )
    return _grouped(runs, found.all(), lambda step: step.run_id)


def resources_of_runs(session: Session, runs: Sequence[UUID]) -> dict[UUID, list[Resource]]:
    """The resources of each run, in the order in which they were taken. Index: a_run_takes_a_resource_once."""
    found = session.scalars(select(Resource).where(one_of(col(Resource.run_id), runs)).order_by(col(Resource.id)))
    return _grouped(runs, found.all(), lambda resource: resource.run_id)


def absence_checks_of_runs(session: Session, runs: Sequence[UUID]) -> dict[UUID, list[AbsenceCheck]]:
    """The absence checks of each run, oldest first. Index: absence_checks_run_id_idx."""
    found = session.scalars(
        select(AbsenceCheck).where(one_of(col(AbsenceCheck.run_id), runs)).order_by(col(AbsenceCheck.id))
    )
    return _grouped(runs, found.all(), lambda check: check.run_id)


def held_resources(session: Session, tenants: Sequence[UUID]) -> dict[UUID, list[Resource]]:
    """The resources that each tenant holds or may hold, in the order in which they were taken.

    Index: resources_held_by_a_tenant.
    """
    found = session.scalars(
        select(Resource)
        .where(one_of(col(Resource.tenant_id), tenants), col(Resource.status).in_(MAY_BE_HELD))
        .order_by(col(Resource.id))
    )
    return _grouped(tenants, found.all(), lambda resource: resource.tenant_id)


def abandoned_resources(session: Session, tenants: Sequence[UUID]) -> dict[UUID, list[Resource]]:
    """The resources that operators abandoned and that may still exist, in the order in which they were taken.

    Index: resources_abandoned_by_a_tenant.
    """
    found = session.scalars(
        select(Resource)
        .where(one_of(col(Resource.tenant_id), tenants), Resource.is_left_behind())
        .order_by(col(Resource.id))
    )
    return _grouped(tenants, found.all(), lambda resource: resource.tenant_id)


def organisations_by_id(session: Session, ids: Sequence[UUID]) -> dict[UUID, Organisation]:
    """The organisations with these ids. The caller has checked access to something in each of them."""
    found = session.scalars(select(Organisation).where(one_of(col(Organisation.id), ids)))
    return {organisation.id: organisation for organisation in found}


def organisation_of_slug(session: Session, slug: str, *, by: Actor) -> Organisation | None:
    """The organisation with this slug, if the actor can access it."""
    visible = col(Organisation.id) == by.organisation_id if by.organisation_id else true()
    return session.scalars(select(Organisation).where(col(Organisation.slug) == slug, visible)).one_or_none()


def plan_codes(session: Session) -> list[str]:
    """The codes of all plans, the smallest plan first."""
    in_order = select(col(Plan.code)).order_by(col(Plan.tenants_allowed).asc().nulls_last(), col(Plan.code))
    return list(session.scalars(in_order))


def quotas(session: Session, ids: Sequence[UUID]) -> dict[UUID, Quota]:
    """The quota of each organisation: the tenants that count, and the limit of its plan."""
    found = session.execute(
        select(col(Organisation.id), counted_tenants(col(Organisation.id)), col(Plan.tenants_allowed))
        .join(Plan, col(Plan.code) == col(Organisation.plan_code))
        .where(one_of(col(Organisation.id), ids))
        .execution_options(reads=select(col(Organisation.id), null()).where(one_of(col(Organisation.id), ids)))
    )
    return {organisation: Quota(used, allowed) for organisation, used, allowed in found}


def actor_of_id(session: Session, actor_id: UUID, *, by: Actor, with_email: bool) -> Actor | None:
    """The actor with this id: the platform, ``by`` itself, or a member or service account of its organisation.

    ``with_email``: with the address of a member, which only those who manage members may read.
    """
    if known := next((actor for actor in (PLATFORM, by) if actor.id == actor_id), None):
        return known
    return _member(session, actor_id, by, with_email=with_email) or _service_account(session, actor_id, by)


def member_names(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, str]:
    """The names of the members with these ids in the actor's own organisation, without their addresses."""
    own = col(Member.organisation_id) == by.organisation_id if by.organisation_id else true()
    names = session.execute(select(col(Member.id), col(Member.name)).where(one_of(col(Member.id), ids), own))
    return {member_id: name for member_id, name in names}  # noqa: C416  # rows, which dict() does not type


def visible_tenants(by: Actor) -> ColumnElement[bool]:
    """The condition under which the actor can access a tenant."""
    return accessible_to(by, col(Tenant.organisation_id), col(Tenant.id))


def visible_runs(by: Actor) -> ColumnElement[bool]:
    """The condition under which the actor can access a run."""
    return accessible_to(by, col(Run.organisation_id), col(Run.tenant_id))


def accessible_to(
    by: Actor, organisation_id: Mapped[UUID], tenant_id: Mapped[UUID] | Mapped[UUID | None]
) -> ColumnElement[bool]:
    """``Actor.can_access`` as an SQL condition on these columns."""
    conditions: list[ColumnElement[bool]] = [true()]
    if by.organisation_id is not None:
        conditions.append(organisation_id == by.organisation_id)
    if by.tenant_ids is not None:
        conditions.append(tenant_id.in_(by.tenant_ids))
    return and_(*conditions)


def one_of(column: Any, keys: Collection[UUID]) -> ColumnElement[bool]:  # noqa: ANN401  # a mapped column of UUIDs
    """The condition that the column has one of these values, as one parameter: the statement is always the same."""
    condition: ColumnElement[bool] = column == any_(literal(list(keys), UUID_ARRAY))
    return condition


def has_prefix(column: Any, prefix: str) -> ColumnElement[bool]:  # noqa: ANN401  # a mapped column of text
    """The condition that the text begins with this prefix.

    Not LIKE: under row-level security Postgres uses no index for it, because its operator is not leakproof.
    """
    condition: ColumnElement[bool] = column.bool_op("~>=~")(prefix)
    end = text_after(prefix)
    return condition if end is None else and_(condition, column.bool_op("~<~")(end))


def text_after(prefix: str) -> str | None:
    """The first text, in the order of bytes, behind all texts with this prefix; None when there is none."""
    kept = prefix.rstrip(chr(sys.maxunicode))
    if not kept:
        return None
    last = ord(kept[-1]) + 1
    return kept[:-1] + chr(AFTER_SURROGATES if last == FIRST_SURROGATE else last)


def _matching(wanted: TenantFilter, by: Actor) -> Select[Any]:
    statement = select(Tenant).where(visible_tenants(by))
    if wanted.states is not None:
        statement = statement.where(col(Tenant.state).in_(wanted.states))
    if wanted.plans is not None:
        statement = statement.where(col(Tenant.plan_code).in_(wanted.plans))
    if wanted.slug_prefix is not None:
        statement = statement.where(has_prefix(col(Tenant.slug), wanted.slug_prefix))
    if wanted.created_from is not None:
        statement = statement.where(col(Tenant.created_at) >= wanted.created_from)
    if wanted.created_until is not None:
        statement = statement.where(col(Tenant.created_at) < wanted.created_until)
    if wanted.has_abandoned_resources is not None:
        abandoned = exists().where(col(Resource.tenant_id) == col(Tenant.id), Resource.is_left_behind())
        statement = statement.where(abandoned if wanted.has_abandoned_resources else ~abandoned)
    return statement


def _member(session: Session, actor_id: UUID, by: Actor, *, with_email: bool) -> Actor | None:
    member = session.get(Member, actor_id, options=[] if with_email else [_name_only(Member)])
    if member is None or by.organisation_id not in {None, member.organisation_id}:
        return None
    return Actor(ActorKind.USER, member.id, member.name, member.email if with_email else None, member.organisation_id)


def _service_account(session: Session, actor_id: UUID, by: Actor) -> Actor | None:
    account = session.get(ServiceAccount, actor_id, options=[_name_only(ServiceAccount)])
    if account is None or by.organisation_id not in {None, account.organisation_id}:
        return None
    return Actor(ActorKind.INTEGRATION, account.id, account.name, None, account.organisation_id)


def _name_only(model: type[Member | ServiceAccount]) -> ORMOption:
    """Load the columns that every caller may read; loading another one raises."""
    columns: list[Any] = [model.organisation_id, model.name]
    return load_only(*columns, raiseload=True)


def _grouped(keys: Sequence[UUID], rows: Sequence[Row], key: Callable[[Row], UUID]) -> dict[UUID, list[Row]]:
    groups: dict[UUID, list[Row]] = {key_: [] for key_ in keys}
    for row in rows:
        groups[key(row)].append(row)
    return groups
