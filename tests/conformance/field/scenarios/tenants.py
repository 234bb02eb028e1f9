"""Scenarios of a tenant's own database login, which attacks everything that it can reach."""

from collections.abc import Callable
from contextlib import closing

import psycopg
from psycopg.conninfo import make_conninfo

from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from provisioning.resource_names import ResourceNames
from runtime.settings import Settings
from tests.conformance.field.api_clients import ApiClients, Saga, create_clients
from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.invariant_checker import InvariantChecker, nodes
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options
from tests.http_client import HTTP
from tests.sql_attacks import Login, TenantsLogin

IN_THE_FEED_WITHIN = 10.0
"""Seconds until an event is in the organisation's feed: usually a fraction of one."""

UNDONE_WITHIN = 60.0
"""Seconds for an undo. Another attempt follows a failed one after 1, 2, 4 … s, and a lock is waited for for 3 s."""

NEWEST = "{ auditEvents(first: 20) { edges { node { type run { id } } } } }"


@scenario(
    without=(
        "tenants_in_the_products_own_database",
        "locks_that_tenants_can_hold",
        "no_removal_in_other_databases",
        "no_end_of_blocking_sessions",
    ),
    breaks=("V8", "V10", "V13"),
    options=Options(tenants_cluster=True),
)
def a_tenants_login_harms_nobody(harness: ScenarioHarness) -> str:
    """A tenant's login that uses all its rights stops no other tenant's cancel or undo, no feed, and not its own undo.

    It holds transactions, grants, advisory locks, large objects in several databases, listens and notifies.
    """
    stranger = create_clients(harness.testbed)
    attacking, victim = stranger.owner.create("attacker"), harness.create()
    InvariantChecker(stranger).await_run(attacking, "SUCCEEDED")
    harness.checker.await_run(victim, "SUCCEEDED")

    with TenantsLogin(_login(harness, stranger, attacking), _names(harness.clients, victim).role) as attack:
        provisioned = harness.create()
        cancelled, halt = harness.create_halted("before deployer.deploy", stoppable=True)
        halt.await_first()
        assert harness.cancel(cancelled), "V5: the cancel was refused"
        halt.release()
        _await(harness, harness.checker, provisioned, "SUCCEEDED")
        _await(harness, harness.checker, cancelled, "CANCELLED")
        _expect_in_feed(harness, provisioned, "tenant.provisioning.completed")
        _expect_ready(harness)
        _decommission(harness, harness.clients, victim)
        _expect_in_feed(harness, victim, "tenant.deprovisioning.completed")
        heard = attack.heard()
        assert not heard, f"V10: the login hears of other organisations: {heard[:3]}"
        _decommission(harness, stranger, attacking)
    ends = harness.await_all_runs()
    assert InvariantChecker(stranger).check_all() == {"SUCCEEDED": 1, "DECOMMISSIONED": 1}, "V13: the attacker remains"
    assert ends == {"SUCCEEDED": 2, "CANCELLED": 1, "DECOMMISSIONED": 1}, f"V13: {ends}"
    return "one cancel and two decommissions under attack"


def _await(harness: ScenarioHarness, checker: InvariantChecker, saga: Saga, status: str) -> None:
    checker.await_run(saga, status, within=harness.within(UNDONE_WITHIN, without_protection=20.0))


def _decommission(harness: ScenarioHarness, clients: ApiClients, saga: Saga) -> None:
    answer = clients.owner.retry_until_available("decommissionTenant", tenantId=saga.id, confirmSlug=saga.slug)
    assert not answer["userErrors"], f"V13: {answer['userErrors']}"
    _await(harness, InvariantChecker(clients), saga, "DECOMMISSIONED")


def _expect_in_feed(harness: ScenarioHarness, saga: Saga, event_type: str) -> None:
    """V10: the organisation's feed has this event of the tenant's newest run."""
    run = harness.owner.read(saga)["run"]["id"]

    def found() -> bool:
        events = nodes(harness.owner.execute(NEWEST)["auditEvents"])
        return any(event["type"] == event_type and event["run"]["id"] == run for event in events)

    until(found, f"V10: the feed does not have {event_type}", within=IN_THE_FEED_WITHIN, every=0.1)


def _expect_ready(harness: ScenarioHarness) -> None:
    report = HTTP.get(f"http://{harness.testbed.address}/readyz", timeout=10)
    assert report.status_code == 200, f"V8: {report.text}"


def _names(clients: ApiClients, saga: Saga) -> ResourceNames:
    return ResourceNames(saga.uuid, f"{saga.slug}-{clients.organisation.slug}", 1)


def _login(harness: ScenarioHarness, clients: ApiClients, saga: Saga) -> Callable[[str | None], Login]:
    """How the tenant's workload connects: with its password, to the server that has its schema."""
    settings, names = harness.testbed.settings, _names(clients, saga)
    url = _server_of(settings, names)
    password = PostgresStorage(url, Seal(settings.secret_key)).password(names)

    def connect(database: str | None) -> Login:
        where = {"dbname": database} if database else {}
        return psycopg.connect(make_conninfo(url, user=names.role, password=password, **where), autocommit=True)

    return connect


def _server_of(settings: Settings, names: ResourceNames) -> str:
    for url in (settings.tenants_database, settings.database_url):
        with closing(psycopg.connect(url)) as connection:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [names.role]).fetchone() is not None:
                return url
    raise AssertionError(f"V2: no server has the role {names.role}")
