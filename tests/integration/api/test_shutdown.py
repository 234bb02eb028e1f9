"""A stop of the process ends open sockets, and leaves no connection behind."""

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from tests.api import Subscription, running_api, tenant_gid
from tests.run_harness import RunHarness
from tests.waiting import wait_until

WATCH = "subscription Watch($id: ID!) { tenantProvisioning(tenantId: $id) { kind } }"


def test_a_stop_ends_open_sockets_and_gives_every_connection_back(harness: RunHarness) -> None:
    harness.create()
    with psycopg.connect(harness.settings.database_url, autocommit=True) as connection:

        def feeds() -> set[int]:
            """The backends that listen here: others may come and go meanwhile."""
            here = "application_name = 'tenantry-feed' AND datname = current_database()"
            return {int(pid) for (pid,) in connection.execute(f"SELECT pid FROM pg_stat_activity WHERE {here}")}

        before = feeds()
        with running_api(harness.settings) as api:
            client = api.member(harness.organisation.id)
            with client.connected() as socket:
                subscription = Subscription(socket)
                variables = {"id": tenant_gid(harness.tenant_id)}
                subscription.send(id="1", type="subscribe", payload={"query": WATCH, "variables": variables})
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
