"""The permission table and the actions of each tenant state."""

from uuid import uuid4

import pytest

from access.permissions import ACTIONS, ACTIONS_IN, SCOPES, TABLE, Identity, Permission, TenantAction
from models import ActorKind, Role, Run, RunKind, RunStatus, Tenant, TenantState
from models.columns import new_id
from provisioning.actors import PLATFORM, Actor

EVERYTHING = {
    Permission.READ_TENANTS,
    Permission.WRITE_TENANTS,
    Permission.CANCEL,
    Permission.SEE_FIRST_ADMINS,
    Permission.READ_FEED,
    Permission.EXPORT_FEED,
    Permission.MANAGE_MEMBERS,
    Permission.READ_SCHEMA,
}
READ_ONLY = {Permission.READ_TENANTS, Permission.READ_FEED, Permission.READ_SCHEMA}


def identity(kind: ActorKind, role: Role | None = None, *scopes: str) -> Identity:
    return Identity(Actor(kind, new_id(), "Caller", None, new_id()), role, frozenset(scopes))


@pytest.mark.parametrize(
    ("caller", "rights"),
    [
        (identity(ActorKind.USER, Role.OWNER), EVERYTHING),
        (identity(ActorKind.USER, Role.ADMIN), EVERYTHING),
        (identity(ActorKind.USER, Role.VIEWER), READ_ONLY | {Permission.SEE_FIRST_ADMINS}),
        (identity(ActorKind.USER), set()),
        (identity(ActorKind.USER, None, *SCOPES), set()),
        (identity(ActorKind.INTEGRATION), set()),
        (identity(ActorKind.INTEGRATION, Role.OWNER), set()),
        (identity(ActorKind.INTEGRATION, None, "tenants:read"), {Permission.READ_TENANTS}),
        (
            identity(ActorKind.INTEGRATION, None, "tenants:write"),
            {Permission.WRITE_TENANTS, Permission.SEE_FIRST_ADMINS},
        ),
        (identity(ActorKind.INTEGRATION, None, "tenants:cancel"), {Permission.CANCEL}),
        (identity(ActorKind.INTEGRATION, None, *SCOPES), EVERYTHING - {Permission.MANAGE_MEMBERS}),
        (identity(ActorKind.SUPPORT), READ_ONLY | {Permission.EXPORT_FEED}),
        (Identity(PLATFORM, Role.OWNER, SCOPES), set()),
    ],
)
def test_a_caller_has_exactly_the_rights_of_its_role_or_scopes(caller: Identity, rights: set[Permission]) -> None:
    assert {permission for permission in Permission if caller.may(permission)} == rights
    assert set(caller.scopes) == {permission.value for permission in rights}


def test_the_tables_cover_every_permission_state_and_action() -> None:
    assert set(TABLE) == set(Permission)
    assert set(ACTIONS_IN) == set(TenantState)
    assert {action for offered in ACTIONS_IN.values() for action in offered} == set(TenantAction) == set(ACTIONS)


def tenant(state: TenantState) -> Tenant:
    return Tenant(
        organisation_id=uuid4(), slug="shop", name="Shop", region="r", plan_code="p", first_admin_email="a@b.c",
        address="shop-acme", state=state,
    )  # fmt: skip


def run(status: RunStatus, kind: RunKind = RunKind.PROVISION) -> Run:
    return Run(
        organisation_id=uuid4(), tenant_id=uuid4(), number=1, address="shop-acme", kind=kind, status=status,
        started_by_kind=ActorKind.USER, started_by_id=uuid4(), started_by_name="x",
    )  # fmt: skip


def test_an_action_is_offered_when_state_run_and_rights_allow_it() -> None:
    owner = identity(ActorKind.USER, Role.OWNER)
    canceller = identity(ActorKind.INTEGRATION, None, "tenants:cancel")
    writer = identity(ActorKind.INTEGRATION, None, "tenants:write")
    viewer = identity(ActorKind.USER, Role.VIEWER)
    busy, stuck = tenant(TenantState.PROVISIONING), tenant(TenantState.DECOMMISSIONING)

    assert owner.actions_on(busy, run(RunStatus.RUNNING)) == [TenantAction.CANCEL_PROVISIONING]
    assert owner.actions_on(busy, run(RunStatus.STUCK)) == [
        TenantAction.CANCEL_PROVISIONING,
        TenantAction.RESUME_COMPENSATION,
    ]
    assert owner.actions_on(busy, None) == []
    assert canceller.actions_on(busy, run(RunStatus.STUCK)) == [TenantAction.CANCEL_PROVISIONING]
    assert writer.actions_on(busy, run(RunStatus.STUCK)) == [TenantAction.RESUME_COMPENSATION]
    assert viewer.actions_on(busy, run(RunStatus.RUNNING)) == []
    assert owner.actions_on(stuck, run(RunStatus.STUCK, RunKind.DECOMMISSION)) == [TenantAction.RESUME_COMPENSATION]
    assert owner.actions_on(stuck, run(RunStatus.COMPENSATING, RunKind.DECOMMISSION)) == []
    assert owner.actions_on(tenant(TenantState.DECOMMISSIONED), None) == [TenantAction.RECREATE]
    assert writer.actions_on(tenant(TenantState.DECOMMISSIONED), None) == [TenantAction.RECREATE]


def test_an_account_limited_to_some_tenants_is_not_offered_recreate() -> None:
    actor = Actor(ActorKind.INTEGRATION, new_id(), "Caller", None, new_id(), frozenset({new_id()}))
    limited = Identity(actor, granted=frozenset({"tenants:write"}))

    assert limited.actions_on(tenant(TenantState.DECOMMISSIONED), None) == []
    assert TenantAction.SUSPEND in limited.actions_on(tenant(TenantState.ACTIVE), None)
