"""A shutdown closes open websockets and every database connection."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session
from websockets.exceptions import ConnectionClosed

from provisioning import queries
from tests.api import TIMEOUT, Client, Subscription, running_api, tenant_gid
from tests.run_harness import RunHarness
from tests.waiting import wait_until

PROVISIONING = "subscription Provisioning($id: ID!) { tenantProvisioning(tenantId: $id) { kind } }"


def test_a_shutdown_closes_open_websockets_and_the_connection_of_the_change_feed(harness: RunHarness) -> None:
    harness.create()
    with psycopg.connect(harness.settings.database_url, autocommit=True) as connection:

        def feeds() -> set[int]:
            """The backends of all change feeds of this database."""
            in_this_database = "application_name = 'tenantry-feed' AND datname = current_database()"
            return {
                int(pid) for (pid,) in connection.execute(f"SELECT pid FROM pg_stat_activity WHERE {in_this_database}")
            }

        before = feeds()
        with running_api(harness.settings) as api:
            client = api.member(harness.organisation.id)
            with client.connected() as socket:
                subscription = Subscription(socket)
                variables = {"id": tenant_gid(harness.tenant_id)}
                subscription.send(id="1", type="subscribe", payload={"query": PROVISIONING, "variables": variables})
                assert subscription.next() == {"kind": "RUN_STARTED"}
                wait_until(lambda: feeds() - before)
                own = feeds() - before
                api.stop()
                with pytest.raises(ConnectionClosed) as closed:
                    subscription.message()
        wait_until(lambda: not feeds() & own)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in {1001, 1012}
    assert api.services.feed.watchers == 0


def test_a_shutdown_closes_the_pool_only_after_a_cancelled_operation_has_ended(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the operation returns its connection to a closed pool, which never closes it."""
    began, pool_closed = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(session: Session, *_: Any, **__: Any) -> None:
        began.set()
        try:
            session.execute(text("SELECT pg_sleep(30)"))
        finally:
            pool_closed.wait(0.5)
            order.append("the operation ends")

    monkeypatch.setattr(queries, "organisation_of_slug", slow)
    with running_api(harness.settings) as api:
        pool = api.services.database.engine.pool
        dispose = pool.dispose

        def record_and_dispose() -> None:
            order.append("the pool is closed")
            pool_closed.set()
            dispose()

        monkeypatch.setattr(pool, "dispose", record_and_dispose)
        with Client(api.address, owner.authorization).subscribed('{ organization(slug: "x") { id } }'):
            assert began.wait(TIMEOUT)

    assert order == ["the operation ends", "the pool is closed"]
