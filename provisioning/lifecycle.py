"""Tenant states: one table of legal moves, one function that makes them. Nothing else writes ``tenant.state``."""

from collections.abc import Mapping
from types import MappingProxyType

from models import Tenant, TenantState
from provisioning.errors import IllegalMove

LEGAL: Mapping[TenantState, frozenset[TenantState]] = MappingProxyType(
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
"""The arrows of docs/lifecycle.md."""

HOLDS_NOTHING = frozenset({TenantState.PENDING, TenantState.FAILED})
"""States whose wrong values can be corrected, and that can be decommissioned at once."""


def allowed_from(to: TenantState) -> list[TenantState]:
    """The states from which a tenant may become ``to``, in the order in which they are declared."""
    return [state for state in TenantState if to in LEGAL[state]]


def transition(tenant: Tenant, to: TenantState) -> None:
    """Move a tenant whose row the caller has locked. Raises IllegalMove with the state it met."""
    if to not in LEGAL[tenant.state]:
        raise IllegalMove(tenant.state, allowed_from(to))
    tenant.state = to
    tenant.version += 1
