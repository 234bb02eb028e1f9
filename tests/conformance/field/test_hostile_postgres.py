"""The product's processes work on a Postgres server with unusual settings."""

from tests.conformance.field.api_clients import create_clients
from tests.conformance.field.invariant_checker import InvariantChecker
from tests.conformance.field.scenario import ScenarioHarness
from tests.conformance.field.testbed import Options, running_testbed
from tests.http_client import HTTP

HOSTILE = (
    ("client_encoding", "LATIN1"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "Pacific/Chatham"),
    ("bytea_output", "escape"),
    ("search_path", "pg_catalog"),
    ("standard_conforming_strings", "off"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
    ("row_security", "off"),
    ("default_transaction_isolation", "serializable"),
    ("synchronous_commit", "off"),
    ("idle_session_timeout", "1500ms"),
    ("lock_timeout", "5ms"),
)
"""Each of them made some statement fail or mean something else, or ended the connections that listen."""

NAME = "Käse — 東京"


def test_runs_end_and_cancels_arrive_on_a_postgres_with_hostile_settings() -> None:
    with running_testbed(Options(postgres=HOSTILE)) as testbed:
        clients = create_clients(testbed)
        harness = ScenarioHarness(testbed, clients, InvariantChecker(clients))
        kept = harness.create(name=NAME, provisioningDeadline="PT30H")
        cancelled, halt = harness.create_halted("before deployer.deploy", stoppable=True)
        halt.await_first()
        assert harness.cancel(cancelled)
        ends = harness.await_all_runs()
        tenant = harness.owner.execute("query Q($id: ID!) { tenant(id: $id) { name state } }", id=kept.id)["tenant"]
        ready = HTTP.get(f"http://{testbed.address}/readyz", timeout=10)

    assert ends == {"SUCCEEDED": 1, "CANCELLED": 1}
    assert tenant == {"name": NAME, "state": "ACTIVE"}
    assert ready.status_code == 200, ready.text
