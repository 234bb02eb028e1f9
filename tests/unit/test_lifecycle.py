"""Every pair of tenant states: the arrows of docs/lifecycle.md can be walked, nothing else can."""

from itertools import product
from typing import Any

import pytest

from models import Tenant, TenantState
from models.tenant import QUOTA_STATES
from provisioning import lifecycle
from provisioning.errors import IllegalMove

ARROWS = {
    ("PENDING", "PROVISIONING"),
    ("PENDING", "DECOMMISSIONED"),
    ("PROVISIONING", "ACTIVE"),
    ("PROVISIONING", "FAILED"),
    ("PROVISIONING", "PENDING"),
    ("ACTIVE", "SUSPENDED"),
    ("ACTIVE", "DECOMMISSIONING"),
    ("SUSPENDED", "ACTIVE"),
    ("SUSPENDED", "DECOMMISSIONING"),
    ("FAILED", "PROVISIONING"),
    ("FAILED", "DECOMMISSIONED"),
    ("DECOMMISSIONING", "DECOMMISSIONED"),
}
"""Written out here once more, so that a slip in the table is not believed by its own test."""


def tenant_in(state: TenantState) -> Tenant:
    facts: dict[str, Any] = {"state": state, "version": 7}
    return Tenant(**facts)


PAIRS = list(product(TenantState, repeat=2))


@pytest.mark.parametrize(("state", "to"), [pair for pair in PAIRS if pair in ARROWS])
def test_a_legal_move_is_made_and_counted(state: TenantState, to: TenantState) -> None:
    tenant = tenant_in(state)

    lifecycle.transition(tenant, to)

    assert (tenant.state, tenant.version) == (to, 8)


@pytest.mark.parametrize(("state", "to"), [pair for pair in PAIRS if pair not in ARROWS])
def test_an_illegal_move_is_refused_with_the_state_it_met(state: TenantState, to: TenantState) -> None:
    tenant = tenant_in(state)

    with pytest.raises(IllegalMove) as refusal:
        lifecycle.transition(tenant, to)

    assert refusal.value.state is state
    assert set(refusal.value.allowed) == {origin for origin, end in ARROWS if end == to}
    assert (tenant.state, tenant.version) == (state, 7)


def test_every_pair_was_looked_at() -> None:
    assert len(PAIRS) == 49
    assert {pair for pair in PAIRS if pair in ARROWS} == ARROWS


def test_nothing_leaves_decommissioned() -> None:
    assert lifecycle.LEGAL[TenantState.DECOMMISSIONED] == frozenset()


def test_a_state_that_holds_nothing_does_not_count_against_the_plan() -> None:
    assert set(TenantState) - set(QUOTA_STATES) == {*lifecycle.HOLDS_NOTHING, TenantState.DECOMMISSIONED}
