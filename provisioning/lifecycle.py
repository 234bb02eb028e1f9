"""The transitions between tenant states."""

from collections.abc import Mapping
from types import MappingProxyType

from models import Tenant, TenantState
from provisioning.errors import IllegalMove

TRANSITIONS: Mapping[TenantState, frozenset[TenantState]] = MappingProxyType(
    {
        TenantState.PENDING: frozenset({TenantState.PROVISIONING, TenantState.DECOMMISSIONED}),
        TenantState.PROVISIONING: frozenset({TenantState.ACTIVE, TenantState.FAILED, TenantState.PENDING}),
        TenantState.ACTIVE: frozenset({TenantState.SUSPENDED, TenantState.DECOMMISSIONING}),
        TenantState.SUSPENDED: frozenset({TenantState.ACTIVE, TenantState.DECOMMISSIONING}),
        TenantState.FAILED: frozenset({TenantState.PROVISIONING, TenantState.DECOMMISSIONED}),
        TenantState.DECOMMISSIONING: frozenset({TenantState.DECOMMISSIONED}),
        TenantState.DECOMMISSIONED: frozenset(),
    }
)
"""The transitions of docs/lifecycle.md."""

STATES_WITHOUT_RESOURCES = frozenset({TenantState.PENDING, TenantState.FAILED})
"""States without held resources: values can be corrected, and a decommission is immediate."""


def allowed_from(to: TenantState) -> list[TenantState]:
    """The states with a transition to ``to``, in the order of their declaration."""
    return [state for state in TenantState if to in TRANSITIONS[state]]


def require_transition(state: TenantState, to: TenantState) -> None:
    """Raise IllegalMove with the current state unless the transition exists."""
    if to not in TRANSITIONS[state]:
        raise IllegalMove(state, allowed_from(to))


def transition(tenant: Tenant, to: TenantState) -> None:
    """Change the state of a tenant that the caller has locked. Raises IllegalMove with the current state."""
    require_transition(tenant.state, to)
    tenant.state = to
    tenant.version += 1
