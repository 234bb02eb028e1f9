"""The rate limit does not meet an ordinary person, nor a program that pages as docs/api.md advises."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event

import httpx
import pytest
from websockets.sync.client import ClientConnection

from benchmarks.api import dashboard_query
from server.limits import rate_limit
from tests.api import TIMEOUT, Client, Facts, running_api, tenant_gid
from tests.run_harness import RunHarness

TABS = 10
PROVISIONING, CHANGED = "1", "2"

SCALE = 100
"""The partner's budgets are smaller than the usual ones by this factor, as its tenants are fewer."""

FASTER = 4
"""Points come so many times as fast as they would in proportion: the time that the limits know is compressed."""

TENANTS, PER_PAGE = 60, 2
"""Instead of 10,000 tenants in pages of 100 and less."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count points on a busy machine too: without Redis's answer none are counted."""
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT", TIMEOUT)


def tenant_document(operation: str) -> str:
    return dashboard_query("tenant/tenant", operation)


def open_tab(client: Client, socket: ClientConnection, tenant: str) -> None:
    """What the dashboard sends for a tenant's page: two queries and two subscriptions."""
    page = client.execute(tenant_document("Tenant"), id=tenant)["tenant"]
    timeline = page["newest"]["edges"][0]["node"]["timeline"]["edges"]
    feed = client.execute(tenant_document("TenantCursor"), tenantId=tenant)["auditEvents"]
    for id_, operation, after in (
        (PROVISIONING, "TenantProvisioning", timeline[-1]["cursor"]),
        (CHANGED, "TenantChanged", feed["pageInfo"]["startCursor"]),
    ):
        variables = {"tenantId": tenant, "after": after}
        payload = {"query": tenant_document(operation), "variables": variables}
        socket.send(json.dumps({"id": id_, "type": "subscribe", "payload": payload}))


def events_until_the_run_ends(socket: ClientConnection) -> Iterator[Facts]:
    """What both subscriptions deliver until the run has ended."""
    ended = False
    while not ended:
        message = json.loads(socket.recv(TIMEOUT))
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        ended = message["payload"]["data"].get("tenantProvisioning", {}).get("kind") == "RUN_FINISHED"
        yield message


def test_ten_tabs_on_moving_tenants_meet_no_limit(harness: RunHarness, redis_url: str) -> None:
    tenants = [harness.create(f"shop-{number}").tenant.id for number in range(TABS)]
    delivered = []

    with running_api(harness.settings) as api, ExitStack() as open_sockets:
        owner = api.member(harness.organisation.id)
        sockets = [open_sockets.enter_context(owner.connected()) for _ in tenants]
        for socket, tenant in zip(sockets, tenants, strict=True):
            open_tab(owner, socket, tenant_gid(tenant))
        for socket, tenant in zip(sockets, tenants, strict=True):
            harness.tenant_id = tenant
            harness.make_moves()
            delivered += list(events_until_the_run_ends(socket))
        reloaded = owner.post(tenant_document("Tenant"), id=tenant_gid(tenants[0]))

    assert len(delivered) > 20 * TABS  # of a run that takes a minute or more, here within a second
    assert reloaded.status_code == 200
    assert "errors" not in reloaded.json()


def advised_wait(response: httpx.Response, cost: int) -> float:
    """Seconds before the next page, from the headers, as docs/api.md says."""
    sizes = re.findall(r"q=(\d+);w=(\d+)", response.headers["RateLimit-Policy"])
    left = re.findall(r"r=(\d+)", response.headers["RateLimit"])
    return max((cost - int(r)) * int(w) / int(q) for r, (q, w) in zip(left, sizes, strict=True))


def test_a_program_that_pages_as_advised_is_never_refused(harness: RunHarness, redis_url: str) -> None:
    for number in range(TENANTS):
        harness.create(f"shop-{number}")
    usual = harness.settings
    scaled = {
        "budget": usual.budget // SCALE,
        "budget_refill": FASTER * usual.budget_refill // SCALE,
        "organisation_budget": usual.organisation_budget // SCALE,
        "organisation_budget_refill": FASTER * usual.organisation_budget_refill // SCALE,
    }
    fields = "id slug name region plan version state createdAt updatedAt url firstAdminEmail"
    document = (
        "query ($after: String) { rateLimit { cost } "
        f"tenants(first: {PER_PAGE}, after: $after) {{ pageInfo {{ hasNextPage endCursor }} "
        f"nodes {{ {fields} currentRun {{ id status number steps {{ name status }} }} }} }} }}"
    )
    read, waits, after = 0, 0.0, None

    with running_api(usual.model_copy(update=scaled)) as api:
        partner = api.service_account(harness.organisation.id, "tenants:read")
        while True:
            response = partner.post(document, after=after)
            assert response.status_code == 200, response.text
            page = response.json()["data"]["tenants"]
            read += len(page["nodes"])
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
            wait = advised_wait(response, response.json()["data"]["rateLimit"]["cost"])
            if wait > 0:
                waits += wait
                Event().wait(wait)  # the advice itself

    assert read == TENANTS
    assert waits > 0  # so the budget was used up
