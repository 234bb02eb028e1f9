"""Every read of the API finds its rows by an index: at a size that matters no plan reads or sorts a whole table."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from runtime.migrations import migrate
from runtime.row_level_security import SET_ROLE
from runtime.settings import settings
from tests.api import member_identity, running_api
from tests.api_reads import Read, every_read
from tests.grown_database import grow
from tests.run_harness import new_run_harness
from tests.scratch_database import scratch_database

TENANTS = 4_000
"""With ten events each: enough for the planner to prefer an index, and few enough to be added in two seconds."""

MAX_ROWS = 1_000
"""Rows that a plan may expect to read from a table as a whole, or to sort: a page, with what its rows have."""

COUNTS = {"totalCount", "tenantsUsed"}
"""Reads that count rows, so that they read as many as they count."""

Plans = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def plans(database_url: str, redis_url: str) -> Iterator[Plans]:
    """The plans of the statements of every read, by its name."""
    with scratch_database(database_url) as url:
        unlimited = {"budget": 10**9, "budget_refill": 10**9}
        chosen = settings().model_copy(update={"database_url": url, **unlimited})
        migrate(chosen)
        harness = new_run_harness(chosen)
        harness.create("shop")
        harness.make_moves()
        run = harness.run()
        harness.database.close()
        grow(url, harness.organisation.id, 1, TENANTS)
        with running_api(chosen) as api:
            client = api.client(member_identity(harness.organisation.id, settings=chosen))
            reads = every_read(harness.tenant_id, run.id, "shop")
            yield {read.name: plans_of(api, client, read) for read in reads}


def plans_of(api: Any, client: Any, read: Read) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def explain(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement != SET_ROLE:
            explained = cursor.connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()[0]
            found.append(explained[0]["Plan"] if isinstance(explained, list) else json.loads(explained)[0]["Plan"])

    engine = api.services.database.engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        client.execute(read.document, **read.variables)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def too_much(plan: dict[str, Any]) -> list[str]:
    """The steps of a plan that read or sort more than a page."""
    return [
        f"{node['Node Type']} of {node.get('Relation Name', 'rows')}: {expected_of(node)} rows"
        for node in nodes(plan)
        if node["Node Type"] in {"Seq Scan", "Sort"} and expected_of(node) > MAX_ROWS
    ]


def expected_of(node: dict[str, Any]) -> int:
    """The rows that a step reads: a sort those of its input, a scan of a table all that the table has."""
    if node["Node Type"] == "Sort":
        return int(node["Plans"][0]["Plan Rows"])
    return TENANTS if node["Relation Name"] in {"tenants", "runs", "events"} else int(node["Plan Rows"])


def test_no_read_reads_or_sorts_a_whole_table(plans: Plans) -> None:
    found = {name: [step for plan in its for step in too_much(plan)] for name, its in plans.items()}

    assert {name: steps for name, steps in found.items() if steps and name not in COUNTS} == {}


def test_every_read_has_a_plan(plans: Plans) -> None:
    assert [name for name, its in plans.items() if not its] == []
