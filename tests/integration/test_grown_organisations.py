"""Policies in an organisation that has grown since the last ANALYZE: they find the tenant of a row by its key."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection

from runtime.migrations import migrate
from runtime.settings import settings
from tests.grown_database import add_tenants, grow
from tests.run_harness import RunHarness, run_harness_in
from tests.scratch_database import scratch_database

KNOWN, UNKNOWN = 2_000, 300
"""Tenants of an organisation that the planner has statistics of, and of one that it expects to have one tenant."""

EVENTS = """
    INSERT INTO events (id, organisation_id, tenant_id, run_id, sequence, type, actor_kind, actor_id, actor_name, data,
        created_at)
    SELECT gen_random_uuid(), organisation_id, tenant_id, id, 11, 'tenant.provisioning.cancel_requested', 'USER',
        caller_id(), 'Olga', '{}', clock_timestamp()
    FROM runs WHERE tenant_id = ANY (%(tenants)s)
"""
RUNS = """
    INSERT INTO runs (id, organisation_id, tenant_id, number, address, kind, status, started_by_kind, started_by_id,
        started_by_name, due_at, created_at)
    SELECT gen_random_uuid(), organisation_id, tenant_id, 2, address, 'PROVISION', 'QUEUED', 'USER', caller_id(),
        'Olga', clock_timestamp(), clock_timestamp()
    FROM runs WHERE tenant_id = ANY (%(tenants)s)
"""
COUNTED = "UPDATE tenants SET last_sequence = 11 WHERE id = ANY (%(tenants)s)"
RESOURCES = "SELECT * FROM resources WHERE tenant_id = ANY (%(tenants)s)"


@pytest.fixture(scope="module")
def grown(database_url: str) -> Iterator[tuple[str, RunHarness, list[UUID]]]:
    """A database, an organisation that the planner does not know, and twenty of its tenants."""
    with scratch_database(database_url) as url:
        chosen = settings().model_copy(update={"database_url": url})
        migrate(chosen)
        with run_harness_in(chosen) as known, run_harness_in(chosen) as unknown:
            grow(url, known.organisation.id, 1, KNOWN)
            add_tenants(url, unknown.organisation.id, 1, UNKNOWN)
            with psycopg.connect(url) as connection:
                found = connection.execute(
                    "SELECT id FROM tenants WHERE organisation_id = %s LIMIT 20", [unknown.organisation.id]
                )
                tenants = [id_ for (id_,) in found]
                connection.execute(
                    "INSERT INTO resources (id, tenant_id, run_id, step, kind, name, status, intended_at)"
                    " SELECT gen_random_uuid(), tenant_id, id, 'allocate_storage', 'storage', id, 'INTENDED', now()"
                    " FROM runs WHERE tenant_id = ANY (%s)",
                    [tenants],
                )
            yield url, unknown, tenants


@pytest.mark.parametrize("statement", [EVENTS, RUNS, RESOURCES], ids=["events", "runs", "resources"])
def test_a_policy_reads_one_tenant_for_each_row(grown: tuple[str, RunHarness, list[UUID]], statement: str) -> None:
    url, harness, tenants = grown
    with psycopg.connect(url) as connection, connection.transaction(force_rollback=True):
        _become_a_caller(connection, harness)
        connection.execute(COUNTED, {"tenants": tenants})
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        ((found,),) = connection.execute(explain.encode(), {"tenants": tenants}).fetchall()

    read = {
        f"{node['Node Type']} of {node['Relation Name']} by {node.get('Index Name')}": _rows_read(node)
        for node in _nodes(found[0]["Plan"])
        if node["Node Type"].endswith("Scan") and "Relation Name" in node
    }
    assert read
    assert {step: rows for step, rows in read.items() if rows > len(tenants)} == {}


def _become_a_caller(connection: Connection[Any], harness: RunHarness) -> None:
    connection.execute("SET LOCAL ROLE tenantry_api")
    values = {"caller": harness.operator.id, "organisation": harness.organisation.id}
    for name, value in values.items():
        connection.execute("SELECT set_config(%s, %s, true)", [f"tenantry.{name}", str(value)])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _rows_read(node: dict[str, Any]) -> float:
    return float(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * float(node["Actual Loops"])
