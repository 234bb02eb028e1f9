"""An operation costs a point for each field, multiplied by the size of its pages; the estimate is quick."""

import time

import pytest
from graphql import parse

from server.limits.query_cost import cost_of


@pytest.mark.parametrize(
    ("document", "cost"),
    [
        ("{ viewer { scopes } }", 2),
        ("{ a: viewer { scopes } b: viewer { scopes } }", 4),
        ("{ tenants(first: 10) { nodes { slug } } }", 1 + 10 * 2),
        ("{ tenants { nodes { slug } } }", 1 + 20 * 2),
        ("{ tenants(last: 5) { totalCount } }", 1 + 5),
        ("{ tenants(first: 100000) { totalCount } }", 1 + 100),
        ("{ tenants(first: -3) { totalCount } }", 1 + 1),
        ("query Q($n: Int) { tenants(first: $n) { totalCount } }", 1 + 7),
        ("query Q($missing: Int) { tenants(first: $missing) { totalCount } }", 1 + 20),
        ("query Q($size: Int = 100) { tenants(first: $size) { totalCount } }", 1 + 100),
        ("query Q($n: Int = 100) { tenants(first: $n) { totalCount } }", 1 + 7),
        ("query Q($decimal: Int) { tenants(first: $decimal) { totalCount } }", 1 + 100),
        ("{ organization { members(first: 10) { totalCount } serviceAccounts { totalCount } } }", 1 + 1 + 10 + 1 + 20),
        (
            'mutation { cancelProvisionings(input: {tenantIds: ["a", "b"]}) { results { alreadyRequested } } }',
            1 + 2 * 2,
        ),
        ("mutation { cancelProvisionings(input: {filter: {}}) { results { alreadyRequested } } }", 1 + 100 * 2),
        ("mutation Q($two: X!) { cancelProvisionings(input: $two) { results { alreadyRequested } } }", 1 + 2 * 2),
        ("mutation Q($all: X!) { cancelProvisionings(input: $all) { results { alreadyRequested } } }", 1 + 100 * 2),
        ("{ tenants(first: 10) { nodes { runs(first: 10) { edges { cursor } } } } }", 1 + 10 * (1 + 1 + 10 * 2)),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 1 + 3),
        ("query Q($ids: [ID!]!) { nodes(ids: $ids) { id } }", 1 + 2),
        ('query Q($some: [ID!]! = ["a", "b", "c"]) { nodes(ids: $some) { id } }', 1 + 3),
        ("{ auditEvents(filter: {tenantId: 1}) { totalCount } }", 1 + 20),
        ('{ auditEvents(filter: {occurredUntil: "1970"}) { totalCount } }', 1 + 50 + 20),
        ("{ auditEvents(filter: {occurredUntil: null}) { totalCount } }", 1 + 20),
        ("query Q($all: X!) { auditEvents(filter: $all) { totalCount } }", 1 + 20),
        ("query Q($since: X!) { a: auditEvents(filter: $since) { totalCount } }", 1 + 50 + 20),
        ('query Q($f: X = {occurredUntil: "1970"}) { auditEvents(filter: $f) { totalCount } }', 1 + 50 + 20),
        ("{ tenants(first: 1, filter: {stateIn: [ACTIVE]}) { totalCount } }", 1 + 1),
        ('{ tenants(first: 1, filter: {slugPrefix: "a"}) { totalCount } }', 1 + 50 + 1),
        ("{ ... on Query { viewer { scopes } } }", 2),
        ("{ ...F ...F } fragment F on Query { viewer { scopes } }", 4),
        ("query A { viewer { scopes } } query Q { viewer { scopes actor { id } } }", 4),
    ],
)
def test_an_operation_costs_the_points_of_its_fields(document: str, cost: int) -> None:
    name = "Q" if "Q" in document.split("{", maxsplit=1)[0] or "query Q {" in document else None

    inputs = {"two": {"tenantIds": ["a", "b"]}, "all": {"filter": {}}, "since": {"occurredFrom": "2020"}}
    assert cost_of(parse(document), name, {"n": 7, "decimal": 100.0, "ids": ["a", "b"], **inputs}) == cost


def test_fragments_that_double_each_other_are_walked_once() -> None:
    levels = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }} " for n in range(200))
    document = parse(f"{{ ...F0 }} {levels} fragment F200 on Query {{ viewer {{ scopes }} }}")
    began = time.thread_time()  # of this thread alone, however busy the machine is

    assert cost_of(document, None, None) == 2 * 2**200
    assert time.thread_time() - began < 1
