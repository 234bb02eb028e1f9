"""Permissions: one table of the roles, scopes and support staff that have each permission."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from models import ActorKind, Role, Run, RunStatus, Tenant, TenantState
from provisioning.actors import Actor
from provisioning.errors import NotPermitted
from runtime.row_level_security import RowScope

ALL_ROLES = frozenset(Role)
MANAGING_ROLES = frozenset({Role.OWNER, Role.ADMIN})


class Permission(StrEnum):
    """A permission. Its value is its name for clients, and usually the scope that grants it to a service account."""

    READ_TENANTS = "tenants:read"
    WRITE_TENANTS = "tenants:write"
    CANCEL = "tenants:cancel"
    SEE_FIRST_ADMINS = "tenants:first-admin"
    READ_FEED = "audit:read"
    EXPORT_FEED = "audit:export"
    MANAGE_MEMBERS = "members:manage"
    READ_SCHEMA = "schema:read"


class TenantAction(StrEnum):
    """An action on a tenant."""

    CANCEL_PROVISIONING = "CANCEL_PROVISIONING"
    RETRY_PROVISIONING = "RETRY_PROVISIONING"
    SUSPEND = "SUSPEND"
    RESUME = "RESUME"
    DECOMMISSION = "DECOMMISSION"
    RECREATE = "RECREATE"
    UPDATE = "UPDATE"
    RESUME_COMPENSATION = "RESUME_COMPENSATION"
    RESEND_WELCOME_EMAILS = "RESEND_WELCOME_EMAILS"


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has a permission: members by role, service accounts by scope, support staff."""

    roles: frozenset[Role]
    scope: str | None
    support: bool = False


@dataclass(frozen=True, slots=True)
class ActionRule:
    """The permission that an action needs, and its description for clients."""

    permission: Permission
    description: str


TABLE: Mapping[Permission, Holders] = MappingProxyType(
    {
        Permission.READ_TENANTS: Holders(ALL_ROLES, "tenants:read", support=True),
        Permission.WRITE_TENANTS: Holders(MANAGING_ROLES, "tenants:write"),
        Permission.CANCEL: Holders(MANAGING_ROLES, "tenants:cancel"),
        # Personal data: for members and for service accounts that can set it. Not for support.
        Permission.SEE_FIRST_ADMINS: Holders(ALL_ROLES, "tenants:write"),
        Permission.READ_FEED: Holders(ALL_ROLES, "audit:read", support=True),
        Permission.EXPORT_FEED: Holders(MANAGING_ROLES, "audit:export", support=True),
        Permission.MANAGE_MEMBERS: Holders(MANAGING_ROLES, None),
        # Introspection is for developers. A partner's integration sends documents that it already knows.
        Permission.READ_SCHEMA: Holders(ALL_ROLES, "schema:read", support=True),
    }
)

ACTIONS: Mapping[TenantAction, ActionRule] = MappingProxyType(
    {
        TenantAction.CANCEL_PROVISIONING: ActionRule(
            Permission.CANCEL, "Call cancelProvisioning. Not offered once a cancel is recorded."
        ),
        TenantAction.RETRY_PROVISIONING: ActionRule(
            Permission.WRITE_TENANTS,
            "Call retryProvisioning, for a PENDING or FAILED tenant. A tenant without runs was never provisioned: a "
            "page should offer to start its provisioning, not to retry it.",
        ),
        TenantAction.SUSPEND: ActionRule(Permission.WRITE_TENANTS, "Call suspendTenant, for an ACTIVE tenant."),
        TenantAction.RESUME: ActionRule(Permission.WRITE_TENANTS, "Call resumeTenant, for a SUSPENDED tenant."),
        TenantAction.DECOMMISSION: ActionRule(
            Permission.WRITE_TENANTS,
            "Call decommissionTenant. It needs confirmSlug for an ACTIVE or SUSPENDED tenant.",
        ),
        TenantAction.RECREATE: ActionRule(
            Permission.WRITE_TENANTS,
            "Call recreateTenant, for a DECOMMISSIONED tenant. Its slug may be taken by now.",
        ),
        TenantAction.UPDATE: ActionRule(
            Permission.WRITE_TENANTS,
            "Call updateTenant with any value. Not offered where only the name can change.",
        ),
        TenantAction.RESUME_COMPENSATION: ActionRule(
            Permission.WRITE_TENANTS, "Call resumeCompensation, for a tenant with a STUCK run."
        ),
        TenantAction.RESEND_WELCOME_EMAILS: ActionRule(
            Permission.WRITE_TENANTS, "Call resendWelcomeEmails, for an ACTIVE tenant."
        ),
    }
)
"""What each action needs, and its description for clients."""

SCOPES = frozenset(holders.scope for holders in TABLE.values() if holders.scope)
"""The scopes that a service account can have."""

ACTIONS_IN: Mapping[TenantState, tuple[TenantAction, ...]] = MappingProxyType(
    {
        TenantState.PENDING: (TenantAction.RETRY_PROVISIONING, TenantAction.UPDATE, TenantAction.DECOMMISSION),
        TenantState.PROVISIONING: (TenantAction.CANCEL_PROVISIONING, TenantAction.RESUME_COMPENSATION),
        TenantState.ACTIVE: (
            TenantAction.SUSPEND,
            TenantAction.DECOMMISSION,
            TenantAction.RESEND_WELCOME_EMAILS,
        ),
        TenantState.SUSPENDED: (TenantAction.RESUME, TenantAction.DECOMMISSION),
        TenantState.FAILED: (TenantAction.RETRY_PROVISIONING, TenantAction.UPDATE, TenantAction.DECOMMISSION),
        TenantState.DECOMMISSIONING: (TenantAction.RESUME_COMPENSATION,),
        TenantState.DECOMMISSIONED: (TenantAction.RECREATE,),
    }
)
"""The actions that each state of a tenant allows, in the order in which the dashboard shows them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller: the actor with its role or its granted scopes."""

    actor: Actor
    role: Role | None = None
    granted: frozenset[str] = frozenset()

    @property
    def row_scope(self) -> RowScope:
        """The rows and rights that Postgres gives to the caller's transactions."""
        return self.actor.row_scope.managing() if self.manages_members else self.actor.row_scope

    @property
    def scopes(self) -> list[str]:
        """Names of the permissions that the caller has."""
        return [permission.value for permission in Permission if self.may(permission)]

    @property
    def sees_first_admins(self) -> bool:
        """Whether the caller may read the e-mail address of a tenant's first administrator."""
        return self.may(Permission.SEE_FIRST_ADMINS)

    @property
    def manages_members(self) -> bool:
        """Whether the caller may read and change the organisation's members and service accounts."""
        return self.may(Permission.MANAGE_MEMBERS)

    def sees_address_of(self, actor_id: UUID) -> bool:
        """Whether the caller may read the e-mail address of this actor: its own, and all if it manages members."""
        return self.manages_members or actor_id == self.actor.id

    @property
    def reads_tenants(self) -> bool:
        """Whether the caller may read tenants and runs other than those that its own mutation changed."""
        return self.may(Permission.READ_TENANTS)

    def may(self, permission: Permission) -> bool:
        """Whether the table gives the caller this permission."""
        holders = TABLE[permission]
        match self.actor.kind:
            case ActorKind.USER:
                return self.role in holders.roles
            case ActorKind.INTEGRATION:
                return holders.scope in self.granted
            case ActorKind.SUPPORT:
                return holders.support
            case ActorKind.SYSTEM:
                return False

    def actions_on(self, tenant: Tenant, run: Run | None) -> list[TenantAction]:
        """The actions that the tenant's state, its live run and the caller's permissions allow now."""
        return [
            action
            for action in ACTIONS_IN[tenant.state]
            if self.may(ACTIONS[action].permission) and _run_allows(action, run) and self._can_act(action)
        ]

    def _can_act(self, action: TenantAction) -> bool:
        """A service account that is limited to some tenants cannot create another one."""
        return action is not TenantAction.RECREATE or self.actor.tenant_ids is None


def require(identity: Identity, permission: Permission, mutation: str) -> None:
    """Raise NotPermitted, with the names of both, unless the caller has the permission of this mutation."""
    if not identity.may(permission):
        raise NotPermitted(f"call {mutation}: you need the right {permission.value}")


def _run_allows(action: TenantAction, run: Run | None) -> bool:
    """Whether the live run is in a status in which the action applies."""
    if action is TenantAction.CANCEL_PROVISIONING:
        return run is not None and run.cancellable
    if action is TenantAction.RESUME_COMPENSATION:
        return run is not None and run.status is RunStatus.STUCK
    return True
