"""Database logins without superuser rights can migrate and run the product as docs/operating.md describes."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from sqlmodel import Session, select

from models import Tenant
from models.columns import new_id
from runtime.database import Database
from runtime.migrations import MigrationRefused, migrate
from runtime.settings import Settings
from tests.builders import settings_with
from tests.run_harness import run_harness_in
from tests.scratch_database import scratch_database

ROLES = "tenantry_api, tenantry_manager, tenantry_limited, tenantry_support"


def logged_in_as(name: str, url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.netloc.rpartition('@')[2]}"))


def as_superuser(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def name(database_url: str) -> Iterator[str]:
    """A login without privileges. The objects that it owns are dropped with their database."""
    name = f"ordinary_{new_id().hex[-12:]}"
    as_superuser(database_url, f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    yield name
    as_superuser(database_url, f"DROP ROLE {name}")


@pytest.fixture
def empty(database_url: str, name: str) -> Iterator[str]:
    """The superuser's URL of an empty database that the login owns."""
    with scratch_database(database_url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            owned = sql.SQL("ALTER DATABASE {} OWNER TO {}")
            connection.execute(owned.format(sql.Identifier(connection.info.dbname), sql.Identifier(name)))
        yield url


@pytest.fixture
def ordinary(empty: str, name: str) -> Settings:
    return settings_with(logged_in_as(name, empty))


def tables(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found is not None
    return int(found[0])


def test_a_migration_by_a_login_without_the_roles_is_refused_with_the_remedy(
    ordinary: Settings, empty: str, name: str
) -> None:
    with pytest.raises(MigrationRefused) as refusal:
        migrate(ordinary)

    assert "CREATE ROLE tenantry_api NOLOGIN; GRANT tenantry_api TO that login" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert tables(empty) <= 1  # alembic_version, without a revision


def test_a_migration_by_a_login_that_does_not_own_the_database_is_refused_with_the_remedy(
    database_url: str, name: str
) -> None:
    remedy = r"permission denied for schema public.*make it the owner"
    with scratch_database(database_url) as url, pytest.raises(MigrationRefused, match=remedy) as refusal:
        migrate(settings_with(logged_in_as(name, url)))

    assert "\n" not in str(refusal.value)


def slugs(session: Session) -> list[str]:
    return [tenant.slug for tenant in session.exec(select(Tenant))]


def slugs_read_by_one_of_two(settings: Settings) -> list[str]:
    """Slugs that one organisation's operator reads when there are two organisations."""
    with run_harness_in(settings) as other, run_harness_in(settings) as harness:
        other.create("theirs")
        harness.create("mine")
        harness.make_moves(until="allocate_traffic")
        assert sorted(harness.read(slugs)) == ["mine", "theirs"], "a worker reads the tenants of both"
        return harness.database.restricted_to(harness.operator.row_scope).transact(slugs)


def test_a_login_that_was_granted_the_roles_can_migrate(ordinary: Settings, empty: str, name: str) -> None:
    as_superuser(empty, f"GRANT {ROLES} TO {name}")

    migrate(ordinary)

    assert slugs_read_by_one_of_two(ordinary) == ["mine"]
    migrate(ordinary, "base")
    assert tables(empty) <= 1


def test_the_product_runs_under_a_login_that_owns_no_objects(database_url: str, name: str) -> None:
    with scratch_database(database_url) as url:
        migrate(settings_with(url))
        as_superuser(
            url,
            f"ALTER ROLE {name} BYPASSRLS",
            f"GRANT {ROLES} TO {name}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
            f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {name}",
            f"REVOKE UPDATE ON events FROM {name}",
        )

        assert slugs_read_by_one_of_two(settings_with(logged_in_as(name, url))) == ["mine"]


def test_two_databases_of_a_cluster_share_only_the_roles(database_url: str) -> None:
    with scratch_database(database_url) as one, scratch_database(database_url) as another:
        for url in (one, another):
            migrate(settings_with(url))
        migrate(settings_with(one), "base")

        assert slugs_read_by_one_of_two(settings_with(another)) == ["mine"]
        database = Database(settings_with(one))
        with pytest.raises(Exception, match="does not exist"):
            database.transact(slugs)
        database.close()
