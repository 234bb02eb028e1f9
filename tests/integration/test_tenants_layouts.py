"""What a tenant's login does to the product, from a cluster of its own and from the product's own database."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from devserver import directories
from provisioning.audit_feed import EventFilter, feed
from provisioning.pagination import Window
from provisioning.resource_names import ResourceNames
from runtime.hints import ANNOUNCE
from runtime.migrations import migrate
from tests.builders import fresh_names, settings_with
from tests.conftest import SECRET_KEY
from tests.run_harness import RunHarness, run_harness_in
from tests.scratch_database import scratch_database
from tests.servers import embedded_postgres
from tests.sql_attacks import PRODUCTS_CHANNELS, Login, fills_the_queue_of_notify

OWN_CLUSTER, SHARED = "a cluster of its own", "the product's own database"
END = "the end"


@dataclass
class Layout:
    """Where tenants are, with the product and two tenants."""

    name: str
    harness: RunHarness
    storage: PostgresStorage
    attacker: ResourceNames
    neighbour: ResourceNames

    @contextmanager
    def logged_in(self, names: ResourceNames | None = None) -> Iterator[Login]:
        names = names or self.attacker
        url = make_conninfo(self.storage._url, user=names.role, password=self.storage.password(names))
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            yield connection

    def feed(self) -> list[str]:
        page = self.harness.read(lambda session: feed(session, EventFilter(), Window(100), by=self.harness.operator))
        return [event.type for event in page.rows]


@pytest.fixture(scope="module")
def tenants_cluster() -> Iterator[str]:
    """A second Postgres. Its queue of NOTIFY is as short as possible: 512 kB instead of 8 GB."""
    with (
        directories.temporary("tenantry-tenants-") as folder,
        embedded_postgres(Path(folder), max_notify_queue_pages="64") as url,
    ):
        yield url


@pytest.fixture(scope="module")
def shared_database(tenants_cluster: str) -> Iterator[str]:
    """The product's database on the same server as the tenants."""
    with scratch_database(tenants_cluster) as url:
        migrate(settings_with(url))
        yield url


@pytest.fixture(params=[OWN_CLUSTER, SHARED])
def layout(request: pytest.FixtureRequest, database_url: str, tenants_cluster: str) -> Iterator[Layout]:
    shared = request.getfixturevalue("shared_database") if request.param == SHARED else None
    storage = PostgresStorage(shared or tenants_cluster, Seal(SecretStr(SECRET_KEY)))
    attacker, neighbour = fresh_names(), fresh_names()
    for names in (attacker, neighbour):
        storage.create(names)
    with run_harness_in(settings_with(shared or database_url)) as harness:
        yield Layout(request.param, harness, storage, attacker, neighbour)
    for names in (attacker, neighbour):
        storage.destroy(names)


def test_a_tenants_login_hears_the_product_only_in_the_products_own_database(layout: Layout) -> None:
    with layout.logged_in() as connection:
        for channel in PRODUCTS_CHANNELS:
            connection.execute(f"LISTEN {channel}".encode())
        connection.execute(ANNOUNCE)
        layout.harness.create()
        connection.execute("SELECT pg_notify(%s, %s)", [PRODUCTS_CHANNELS[0], END])
        heard = []
        for notice in connection.notifies(timeout=10):
            heard.append(notice.payload)
            if notice.payload == END:
                break

    ids = f"{layout.harness.organisation.id} {layout.harness.tenant_id} event"
    assert heard[-1] == END
    assert set(heard[:-1]) == ({ids} if layout.name == SHARED else set())


def test_an_open_transaction_of_a_tenants_login_freezes_feeds_only_in_the_products_own_cluster(layout: Layout) -> None:
    with layout.logged_in() as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE held (id int)")
        layout.harness.create(start=False)
        during = layout.feed()
        connection.execute("ROLLBACK")

    assert during == ([] if layout.name == SHARED else ["tenant.created"])
    assert layout.feed() == ["tenant.created"]


def test_a_full_queue_of_notify_stops_no_write_of_the_product(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    with layout.logged_in() as listener, layout.logged_in() as sender, layout.logged_in(layout.neighbour) as neighbour:
        fills_the_queue_of_notify(listener, sender)
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="too many notifications"):
            neighbour.execute("SELECT pg_notify('mine', repeat('x', 7000))")
        sender.execute(ANNOUNCE)
        layout.harness.create(start=False)

    assert ("sending hints failed" in caplog.text) == (layout.name == SHARED)


def test_a_tenants_login_reads_the_names_of_the_roles_of_its_cluster(layout: Layout) -> None:
    with layout.logged_in() as connection:
        names = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}

    assert {layout.attacker.role, layout.neighbour.role} <= names
    if layout.name == SHARED:
        assert "tenantry_api" in names
