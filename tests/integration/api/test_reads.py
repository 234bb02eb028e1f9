"""How the API reads: few transactions, statements that are compiled once, tokens that are verified once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import Connection, event

from benchmarks.api import dashboard_query
from server.auth import authenticator
from server.auth.tokens import read_token
from tests.api import Api, Client, tenant_gid
from tests.run_harness import RunHarness


@contextmanager
def transactions(api: Api) -> Iterator[list[object]]:
    """One item for each transaction of callers in the block."""
    begun: list[object] = []

    def note(connection: Connection) -> None:
        begun.append(connection)

    engine = api.services.database.engine
    event.listen(engine, "begin", note)
    try:
        yield begun
    finally:
        event.remove(engine, "begin", note)


def test_the_page_of_a_tenant_is_read_in_three_transactions(api: Api, owner: Client, harness: RunHarness) -> None:
    harness.create()
    harness.make_moves()
    document = dashboard_query("tenant/tenant", "Tenant")

    with transactions(api) as begun:
        owner.execute(document, id=tenant_gid(harness.tenant_id))

    assert len(begun) == 3  # the tenant; its runs and resources; what the runs have


def test_a_page_of_tenants_is_read_with_its_runs_in_one_transaction(
    api: Api, owner: Client, harness: RunHarness
) -> None:
    for number in range(3):
        harness.create(f"shop-{number}")

    with transactions(api) as begun, api.statements() as sent:
        found = owner.execute("{ tenants { nodes { slug currentRun { status } abandonedResources { name } } } }")

    assert [one["currentRun"]["status"] for one in found["tenants"]["nodes"]] == ["QUEUED"] * 3
    assert (len(begun), len(sent)) == (1, 3)


def test_a_page_of_events_is_read_with_their_tenants_in_one_transaction(
    api: Api, owner: Client, harness: RunHarness
) -> None:
    harness.create()

    with transactions(api) as begun, api.statements() as sent:
        found = owner.execute("{ auditEvents { edges { node { tenant { slug } run { number } } } } }")

    assert [edge["node"]["tenant"] for edge in found["auditEvents"]["edges"]] == [{"slug": "shop"}] * 2
    assert (len(begun), len(sent)) == (1, 3)


def test_a_statement_is_the_same_for_any_number_of_keys(api: Api, owner: Client, harness: RunHarness) -> None:
    ids = []
    for number in range(3):
        harness.create(f"shop-{number}")
        ids.append(tenant_gid(harness.tenant_id))
    document = (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Tenant { runs(first: 2) { edges { node { id } } } } } }"
    )
    with api.statements() as of_one:
        owner.execute(document, ids=ids[:1])

    with api.statements() as of_three:
        owner.execute(document, ids=ids)

    assert of_three == of_one
    assert len(of_three) == 2


def test_a_signed_token_is_verified_once(
    api: Api, owner: Client, harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []

    def noted(settings: object, token: str) -> object:
        verified.append(token)
        return read_token(settings, token)  # type: ignore[arg-type]  # the settings of the API

    monkeypatch.setattr(authenticator, "read_token", noted)

    for _ in range(3):
        owner.execute("{ viewer { scopes } }")

    assert len(verified) == 1


def test_a_token_that_was_verified_before_expires(api: Api, owner: Client, harness: RunHarness) -> None:
    owner.execute("{ viewer { scopes } }")

    with time_machine.travel(timedelta(hours=2)):
        response = owner.post("{ viewer { scopes } }")

    assert response.status_code == 401
    assert response.json()["errors"][0]["message"] == "The token has expired; get a new one."
