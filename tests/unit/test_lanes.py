"""An operation has the lane of its fields: only a mutation that cancels and nothing else is served first."""

import pytest
from graphql import parse

from runtime.connection_shares import Lane
from server.limits.lanes import lane_of

CANCEL = "cancelProvisioning(input: {tenantId: 1}) { alreadyRequested }"


@pytest.mark.parametrize(
    ("document", "lane"),
    [
        ("{ tenants { totalCount } }", Lane.READ),
        ("subscription { auditEventAdded { type } }", Lane.READ),
        (f"mutation {{ {CANCEL} }}", Lane.CANCEL),
        (f"mutation {{ __typename a: {CANCEL} cancelProvisionings(input: {{}}) {{ __typename }} }}", Lane.CANCEL),
        (f"mutation {{ ...F }} fragment F on Mutation {{ ... {{ {CANCEL} }} }}", Lane.CANCEL),
        ("mutation { suspendTenant(input: {tenantId: 1}) { __typename } }", Lane.COMMAND),
        (f"mutation {{ {CANCEL} ...F }} fragment F on Mutation {{ suspendTenant {{ __typename }} }}", Lane.COMMAND),
        ("mutation { cancelProvisioning: suspendTenant { __typename } }", Lane.COMMAND),
    ],
)
def test_the_lane_of_an_operation(document: str, lane: Lane) -> None:
    assert lane_of(parse(document), None) is lane
