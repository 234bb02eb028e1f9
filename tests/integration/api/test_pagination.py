"""Keyset pagination of every list: exact in both directions, with filters, and refusal of invalid pages."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from models import TenantState
from runtime.database import clock
from tests.api import Api, Client, Facts, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to

SLUGS = [f"shop-{letter}" for letter in "abcdefg"]

TENANTS = """
query Tenants($first: Int, $after: String, $last: Int, $before: String, $filter: TenantFilter, $orderBy: TenantOrder) {
  tenants(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    totalCount
    nodes { slug }
    edges { cursor node { slug } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""

BY_SLUG = {"field": "SLUG", "direction": "ASC"}


@pytest.fixture
def seven(harness: RunHarness) -> RunHarness:
    for slug in SLUGS:
        harness.create(slug, start=False)
    return harness


def slugs(page: Facts) -> list[str]:
    assert [edge["node"]["slug"] for edge in page["edges"]] == [node["slug"] for node in page["nodes"]]
    return [node["slug"] for node in page["nodes"]]


def read(client: Client, **arguments: Any) -> Facts:
    page: Facts = client.execute(TENANTS, **arguments)["tenants"]
    return page


def forward(client: Client, **arguments: Any) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = read(client, first=3, after=cursor, **arguments)
        pages.append(slugs(page))
        assert page["pageInfo"]["hasPreviousPage"] is (cursor is not None)
        if not page["pageInfo"]["hasNextPage"]:
            return pages
        cursor = page["pageInfo"]["endCursor"]


def backward(client: Client, **arguments: Any) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = read(client, last=3, before=cursor, **arguments)
        pages.append(slugs(page))
        assert page["pageInfo"]["hasNextPage"] is (cursor is not None)
        if not page["pageInfo"]["hasPreviousPage"]:
            return pages
        cursor = page["pageInfo"]["startCursor"]


@pytest.mark.parametrize("field", ["CREATED_AT", "UPDATED_AT", "SLUG"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_pages_forward_and_backward_show_each_tenant_once_in_order(
    seven: RunHarness, owner: Client, field: str, direction: str
) -> None:
    order = {"field": field, "direction": direction}
    expected = SLUGS if direction == "ASC" else SLUGS[::-1]

    assert forward(owner, orderBy=order) == [expected[:3], expected[3:6], expected[6:]]
    assert backward(owner, orderBy=order) == [expected[4:], expected[1:4], expected[:1]]


def test_tenants_without_arguments_are_listed_newest_first(seven: RunHarness, owner: Client) -> None:
    page = read(owner)

    assert slugs(page) == SLUGS[::-1]
    assert page["totalCount"] == 7
    assert page["pageInfo"]["hasNextPage"] is page["pageInfo"]["hasPreviousPage"] is False


def test_a_tenant_created_between_two_pages_does_not_shift_the_second(seven: RunHarness, owner: Client) -> None:
    first = read(owner, first=3)
    seven.create("shop-new", start=False)

    second = read(owner, first=3, after=first["pageInfo"]["endCursor"])

    assert slugs(first) + slugs(second) == SLUGS[::-1][:6]


def test_a_page_may_lie_between_two_cursors(seven: RunHarness, owner: Client) -> None:
    cursors = [edge["cursor"] for edge in read(owner, orderBy=BY_SLUG)["edges"]]

    page = read(owner, first=10, after=cursors[1], before=cursors[5], orderBy=BY_SLUG)

    assert slugs(page) == SLUGS[2:5]


def test_an_empty_page_has_no_cursors(harness: RunHarness, owner: Client) -> None:
    page = read(owner)

    assert page["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }
    assert page["totalCount"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"first": 2, "last": 2},
        {"first": 0},
        {"first": 101},
        {"last": -1},
        {"after": "nonsense"},
        {"after": ""},
        {"before": ""},
        {"after": "ÿ"},
        {"after": base64.urlsafe_b64encode(b'["runs",1]').decode()},
        {"after": base64.urlsafe_b64encode(b'["tenants CREATED_AT DESC","2026-01-01T00:00:00","x"]').decode()},
        {"after": base64.urlsafe_b64encode(json.dumps(["tenants CREATED_AT DESC", {}, []]).encode()).decode()},
        {"after": base64.urlsafe_b64encode(b"[" * 90).decode()},
        {"after": "A" * 501},
        {"before": "bm9wZQ"},
    ],
)
def test_invalid_page_arguments_are_refused(owner: Client, arguments: dict[str, Any]) -> None:
    assert owner.error(TENANTS, **arguments)["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_cursor_of_another_order_is_refused(seven: RunHarness, owner: Client) -> None:
    cursor = read(owner, first=1)["pageInfo"]["endCursor"]

    error = owner.error(TENANTS, first=1, after=cursor, orderBy=BY_SLUG)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "Invalid cursor" in error["message"]


def test_a_cursor_of_another_list_is_refused(seven: RunHarness, owner: Client) -> None:
    runs = "query Runs($id: ID!, $after: String) { tenant(id: $id) { runs(after: $after) { edges { cursor } } } }"
    cursor = read(owner, first=1)["pageInfo"]["endCursor"]

    error = owner.error(runs, id=tenant_gid(seven.tenant_id), after=cursor)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_cursor_of_another_tenant_is_refused(seven: RunHarness, owner: Client) -> None:
    document = """query Tenant($id: ID!, $runs: String, $timeline: String) { tenant(id: $id) { runs(after: $runs) {
      edges { cursor node { timeline(after: $timeline) { edges { cursor } } } } } } }"""
    seven.create("first")
    mine, found = tenant_gid(seven.tenant_id), owner.execute(document, id=tenant_gid(seven.tenant_id))
    (run,) = found["tenant"]["runs"]["edges"]
    theirs = tenant_gid(seven.create("second").tenant.id)
    cursors = {"runs": run["cursor"], "timeline": run["node"]["timeline"]["edges"][0]["cursor"]}

    for name, cursor in cursors.items():
        owner.execute(document, id=mine, **{name: cursor})
        assert owner.error(document, id=theirs, **{name: cursor})["extensions"]["code"] == "BAD_USER_INPUT"
    watch = "subscription W($id: ID!, $after: String) { tenantProvisioning(tenantId: $id, after: $after) { kind } }"
    with owner.subscribed(watch, id=theirs, after=cursors["timeline"]) as subscription:
        (error,) = subscription.message()["payload"]["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_tenant_must_match_every_condition_of_a_filter(harness: RunHarness, owner: Client) -> None:
    for slug, plan in [("alpha", "free"), ("alpine", "pro"), ("beta", "pro")]:
        harness.create(slug, plan=plan, start=False)
    harness.create("alps", plan="pro")
    now = harness.read(clock)

    def found(**conditions: Any) -> list[str]:
        return slugs(read(owner, filter=conditions, orderBy=BY_SLUG))

    assert found(stateIn=["PROVISIONING"]) == ["alps"]
    assert found(stateIn=[]) == []
    assert found(planIn=["pro", "free"], stateIn=["PENDING"]) == ["alpha", "alpine", "beta"]
    assert found(slugPrefix="al", planIn=["pro"]) == ["alpine", "alps"]
    assert found(slugPrefix="al_") == []
    assert found(createdUntil=now.isoformat()) == ["alpha", "alpine", "alps", "beta"]
    assert found(createdFrom=now.isoformat()) == []
    assert found(createdFrom=(now - timedelta(hours=1)).isoformat(), slugPrefix="b") == ["beta"]
    assert read(owner, filter={"slugPrefix": "al"}, first=1)["totalCount"] == 3


def test_runs_are_listed_newest_first_and_their_timeline_oldest_first(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    harness.retry()
    harness.make_moves()
    document = """
    query Tenant($id: ID!, $after: String) {
      tenant(id: $id) {
        runs(first: 1, after: $after) {
          edges { cursor node { number kind status timeline(first: 2) {
            edges { cursor node { kind sequence } } pageInfo { hasNextPage } } } }
          pageInfo { hasNextPage hasPreviousPage }
        }
      }
    }
    """

    first = owner.execute(document, id=tenant_gid(harness.tenant_id))["tenant"]["runs"]
    (edge,) = first["edges"]
    second = owner.execute(document, id=tenant_gid(harness.tenant_id), after=edge["cursor"])["tenant"]["runs"]

    assert [edge["node"]["number"], second["edges"][0]["node"]["number"]] == [2, 1]
    assert [first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]] == [True, False]
    assert edge["node"]["status"] == "SUCCEEDED"
    timeline = edge["node"]["timeline"]
    assert [entry["node"]["kind"] for entry in timeline["edges"]] == ["RUN_STARTED", "STEP_STARTED"]
    assert timeline["pageInfo"]["hasNextPage"] is True


def test_the_feed_is_listed_newest_first_with_every_filter(harness: RunHarness, owner: Client, api: Api) -> None:
    harness.create()
    harness.cancel(reason="wrong plan")
    harness.make_moves()
    document = """
    query Feed($first: Int, $after: String, $last: Int, $before: String, $filter: AuditEventFilter) {
      auditEvents(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
        edges { cursor node { type } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
    """

    def types(**arguments: Any) -> list[str]:
        return [edge["node"]["type"] for edge in owner.execute(document, **arguments)["auditEvents"]["edges"]]

    recorded = [event.type for event in harness.events()]
    tenant = tenant_gid(harness.tenant_id)
    run = owner.execute(
        "query R($id: ID!) { tenant(id: $id) { runs { edges { node { id startedBy { id } } } } } }", id=tenant
    )
    node = run["tenant"]["runs"]["edges"][0]["node"]

    assert types() == recorded[::-1]
    assert types(filter={"tenantId": tenant}) == recorded[::-1]
    assert types(filter={"runId": node["id"]}) == [one for one in recorded[::-1] if one != "tenant.created"]
    assert types(filter={"actorId": node["startedBy"]["id"]}) == [
        event.type for event in harness.events()[::-1] if event.actor_id == harness.operator.id
    ]
    assert types(filter={"typeIn": ["tenant.created", "tenant.provisioning.c*"]}) == ["tenant.created"]
    assert types(filter={"typeIn": ["tenant.created", "tenant.provisioning.*"]}) == recorded[::-1]
    assert types(filter={"typeIn": []}) == []
    assert types(filter={"occurredUntil": "2020-01-01T00:00:00Z"}) == []
    for narrowed in ({}, {"tenantId": tenant}):
        page = owner.execute(document, first=2, filter=narrowed)["auditEvents"]
        rest = types(after=page["pageInfo"]["endCursor"], first=100, filter=narrowed)
        assert [edge["node"]["type"] for edge in page["edges"]] + rest == recorded[::-1]
        assert types(before=page["pageInfo"]["endCursor"], last=5, filter=narrowed) == recorded[::-1][:1]


def test_a_filter_by_an_unknown_tenant_matches_nothing_and_a_malformed_id_is_refused(
    harness: RunHarness, owner: Client
) -> None:
    document = "query Feed($filter: AuditEventFilter) { auditEvents(filter: $filter) { edges { cursor } } }"
    unknown = tenant_gid(harness.organisation.id)

    assert owner.execute(document, filter={"tenantId": unknown})["auditEvents"]["edges"] == []
    for wrong in ({"runId": unknown}, {"runId": ""}, {"tenantId": ""}, {"actorId": ""}):
        assert owner.error(document, filter=wrong)["extensions"]["code"] == "NOT_FOUND"
