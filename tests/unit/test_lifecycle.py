"""A tenant makes exactly the transitions of docs/lifecycle.md."""

from itertools import product
from typing import Any

import pytest

from models import Tenant, TenantState
from models.tenant import QUOTA_STATES
from provisioning import lifecycle
from provisioning.errors import IllegalMove

TRANSITIONS = {
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
"""A copy of the table under test, so that a mistake in that table fails."""


def tenant_in(state: TenantState) -> Tenant:
    facts: dict[str, Any] = {"state": state, "version": 7}
    return Tenant(**facts)


PAIRS = list(product(TenantState, repeat=2))


@pytest.mark.parametrize(("state", "to"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_a_legal_transition_changes_the_state_and_the_version(state: TenantState, to: TenantState) -> None:
    tenant = tenant_in(state)

    lifecycle.transition(tenant, to)

    assert (tenant.state, tenant.version) == (to, 8)


@pytest.mark.parametrize(("state", "to"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_an_illegal_transition_is_refused_with_the_current_and_the_allowed_states(
    state: TenantState, to: TenantState
) -> None:
    tenant = tenant_in(state)

    with pytest.raises(IllegalMove) as refusal:
        lifecycle.transition(tenant, to)

    assert refusal.value.state is state
    assert set(refusal.value.allowed) == {origin for origin, end in TRANSITIONS if end == to}
    assert (tenant.state, tenant.version) == (state, 7)


def test_every_pair_of_states_is_tested() -> None:
    assert len(PAIRS) == 49
    assert {pair for pair in PAIRS if pair in TRANSITIONS} == TRANSITIONS


def test_states_without_resources_do_not_count_against_the_plan() -> None:
    assert set(TenantState) - set(QUOTA_STATES) == {*lifecycle.STATES_WITHOUT_RESOURCES, TenantState.DECOMMISSIONED}
