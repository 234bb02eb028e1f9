"""Migrations produce the database of the models, in both directions and within their time limits."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from devserver import development
from devserver.errors import DevserverError
from models.columns import RETIRED_COLUMNS, metadata
from runtime import migrations
from runtime.database import engine_for
from runtime.migrations import ADVISORY_LOCK, ROOT, MigrationRefused, at_head, current, exclusively, migrate
from runtime.settings import Settings
from tests.builders import settings_with
from tests.scratch_database import scratch_database
from tests.waiting import wait_until_blocked

Catalogue = dict[str, set[tuple[Any, ...]]]

CATALOGUE_QUERIES = {
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, character_maximum_length, is_nullable, column_default,
               is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
    """,
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    """,
}
RUN_OF_THE_PREVIOUS_RELEASE = """
    SET LOCAL session_replication_role = replica;  -- the run alone, without the rows that it refers to
    INSERT INTO runs (id, organisation_id, tenant_id, address, number, kind, status, started_by_kind, started_by_id,
                      started_by_name, due_at, nudged_at, created_at)
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'shop-acme', 1, 'PROVISION', 'QUEUED', 'USER',
           gen_random_uuid(), 'Ada', now(), now(), now()
"""
STUCK_AND_ABANDONED = """
    SET LOCAL session_replication_role = replica;  -- these rows alone, without the rows that they refer to
    INSERT INTO runs (id, organisation_id, tenant_id, address, number, kind, status, started_by_kind, started_by_id,
                      started_by_name, failed_step, error, created_at)
    VALUES (%(run)s, %(tenant)s, %(tenant)s, 'shop-acme', 1, 'PROVISION', 'STUCK', 'USER', %(ada)s, 'Ada',
            'deploy_workloads', 'Not yours.', now());
    INSERT INTO run_steps (run_id, position, name, title, role, status, interruptible, timeout, max_attempts, attempts,
                           compensation_attempts, error)
    VALUES (%(run)s, 6, 'deploy_workloads', 'Deploy', 'STEP', 'COMPENSATION_FAILED', true, '600 s', 3, 1, 8,
            'Not yours.');
    INSERT INTO resources (id, run_id, tenant_id, step, kind, name, status, intended_at, abandoned_by, abandoned_reason)
    VALUES (gen_random_uuid(), %(run)s, %(tenant)s, 'allocate_traffic', 'host_name', 'shop', 'ABANDONED', now(),
            'ada@acme.example', 'ticket 4711');
    INSERT INTO events (id, organisation_id, tenant_id, run_id, sequence, type, actor_kind, actor_id, actor_name, data,
                        created_at)
    SELECT gen_random_uuid(), %(tenant)s, %(tenant)s, %(run)s, number, 'tenant.provisioning.' || type, 'USER', %(ada)s,
           'Ada', data::jsonb, timestamptz '2026-11-30 12:00:00Z' + number * interval '1 min'
    FROM (VALUES
        (1, 'step_failed', '{"step": "deploy_workloads", "error": "No such plan."}'),
        (2, 'stuck', '{"step": "allocate_traffic"}'),
        (3, 'compensation_resumed', '{"skipped": ["allocate_traffic"], "reason": "ticket 4711"}'),
        (4, 'stuck', '{"step": "deploy_workloads"}')
    ) AS told (number, type, data)
"""
RIGHTS_ON_WHOLE_TABLES = """
    SELECT role, privilege, relname FROM pg_class,
        unnest(ARRAY['tenantry_api', 'tenantry_manager', 'tenantry_limited', 'tenantry_support']) AS role,
        unnest(ARRAY['INSERT', 'UPDATE']) AS privilege
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege(role, oid, privilege)
"""
OBJECT_NAMES = """
    SELECT relname::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic_version%'
    UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT typname::text FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '%alembic_version'
"""


TABLES_OF_A_RUN = {"runs", "run_steps", "resources", "tenants", "events"}
LIST, VALUE = re.compile(r"\(ARRAY\[([^]]*)\]\)"), re.compile("'([^']*)'")


def catalogue(url: str) -> Catalogue:
    with psycopg.connect(url) as connection:
        return {kind: set(connection.execute(query.encode())) for kind, query in CATALOGUE_QUERIES.items()}


def with_arrays(definition: str) -> str:
    """A constraint with each list of values as the array that a migration made of it: both mean the same.

    SQLAlchemy writes a list; Postgres reads an array faster, each time that it writes the table.
    """
    return LIST.sub(lambda found: "'{" + ",".join(VALUE.findall(found[1])) + "}'", definition)


def object_names(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute(OBJECT_NAMES.encode())}


def without_retired_columns(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    return kind != "column" or (parents["table_name"], name) not in RETIRED_COLUMNS


@pytest.fixture
def empty(database_url: str) -> Iterator[Settings]:
    with scratch_database(database_url) as url:
        yield settings_with(url)


@pytest.fixture(scope="module")
def both(database_url: str) -> Iterator[tuple[Settings, Settings]]:
    """One database made by the models, and one made by the migrations."""
    with ExitStack() as stack:
        by_models, by_migrations = (
            settings_with(stack.enter_context(scratch_database(database_url))) for _ in range(2)
        )
        engine = engine_for(by_models)
        metadata.create_all(engine)
        engine.dispose()
        migrate(by_migrations)
        yield by_models, by_migrations


@pytest.mark.parametrize("kind", CATALOGUE_QUERIES)
def test_the_migrated_database_is_the_one_that_the_models_describe(both: tuple[Settings, Settings], kind: str) -> None:
    by_models, by_migrations = (catalogue(settings.database_url)[kind] for settings in both)
    if kind == "columns":
        by_migrations = {column for column in by_migrations if column[:2] not in RETIRED_COLUMNS}
    if kind == "constraints":
        by_models = {(*names, with_arrays(definition)) for *names, definition in by_models}
        by_migrations = {(*names, with_arrays(definition)) for *names, definition in by_migrations}

    assert by_models - by_migrations == set(), "in the models and not in the migrations"
    assert by_migrations - by_models == set(), "in the migrations and not in the models"
    assert len(by_models) > 20


def test_alembic_finds_nothing_to_do(both: tuple[Settings, Settings]) -> None:
    engine = engine_for(both[1])
    options = {"compare_type": True, "compare_server_default": True, "include_name": without_retired_columns}

    with engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()

    assert difference == []


def test_every_check_constraint_of_the_models_is_named_by_a_sentence(both: tuple[Settings, Settings]) -> None:
    checks = [name for _, name, kind, _ in catalogue(both[1].database_url)["constraints"] if kind == "c"]

    assert len(checks) > 20
    assert [name for name in checks if "_check" in str(name) or "_" not in str(name)] == []


def test_a_downgrade_to_base_removes_everything_and_can_be_migrated_again(empty: Settings) -> None:
    migrate(empty)
    up = catalogue(empty.database_url)

    migrate(empty, "base")
    down = object_names(empty.database_url)
    migrate(empty)

    assert down == set()
    assert catalogue(empty.database_url) == up


def test_a_retired_column_stays_until_the_next_release(both: tuple[Settings, Settings]) -> None:
    migrated = {column[:2] for column in catalogue(both[1].database_url)["columns"]}

    assert RETIRED_COLUMNS - migrated == set()


def test_runs_keep_their_dispatch_time_when_its_column_is_renamed(empty: Settings) -> None:
    migrate(empty, "0003")
    with psycopg.connect(empty.database_url) as connection:
        connection.execute(RUN_OF_THE_PREVIOUS_RELEASE)

    migrate(empty)
    with psycopg.connect(empty.database_url) as connection:
        kept = connection.execute("SELECT nudged_at, dispatched_at = nudged_at FROM runs ORDER BY number").fetchall()
        connection.execute("UPDATE runs SET nudged_at = NULL, dispatched_at = '2026-12-01Z' WHERE number = 1")
    migrate(empty, "0003")
    with psycopg.connect(empty.database_url) as connection:
        back = connection.execute("SELECT nudged_at FROM runs WHERE number = 1").fetchall()

    assert [same for _, same in kept] == [True]
    assert [time.isoformat() for (time,) in back] == ["2026-12-01T00:00:00+00:00"]


def test_migrating_twice_is_migrating_once(empty: Settings) -> None:
    migrate(empty)
    once = catalogue(empty.database_url)

    migrate(empty)

    assert catalogue(empty.database_url) == once


def test_at_head_is_false_before_and_true_after_migrating(empty: Settings) -> None:
    engine = engine_for(empty)
    with engine.connect() as connection:
        before = at_head(connection)
    migrate(empty)
    with engine.connect() as connection:
        after = at_head(connection)
    engine.dispose()

    assert (before, after) == (False, True)


def test_two_simultaneous_migrations_migrate_once(empty: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        for finished in [pool.submit(migrate, empty) for _ in range(2)]:
            finished.result(60)

    engine = engine_for(empty)
    with engine.connect() as connection:
        assert at_head(connection)
    engine.dispose()


def test_a_migration_waits_for_a_running_migration(empty: Settings) -> None:
    with ThreadPoolExecutor() as pool:
        with psycopg.connect(empty.database_url) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            migrating = pool.submit(migrate, empty)
            wait_until_blocked(migrating, empty.database_url)
        migrating.result(60)

    assert catalogue(empty.database_url)["columns"]


def test_a_migration_that_waits_for_a_reader_fails_after_the_lock_timeout(
    empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
    migrate(empty)
    before = catalogue(empty.database_url)

    with psycopg.connect(empty.database_url) as reader:
        reader.execute("SELECT count(*) FROM events")
        with pytest.raises(Exception, match="lock timeout"):
            migrate(empty, "base")

    assert catalogue(empty.database_url) == before
    migrate(empty, "base")
    assert object_names(empty.database_url) == set()


def test_a_migration_runs_under_both_timeouts_and_releases_its_lock(empty: Settings) -> None:
    engine = engine_for(empty)

    with engine.connect() as connection:
        with exclusively(connection):
            limits = connection.execute(
                text("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
            ).one()
            locks = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
        held = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    engine.dispose()

    assert tuple(limits) == ("5s", "1min")
    assert locks - held == 1


def test_a_failed_migration_changes_nothing_and_releases_its_lock(empty: Settings) -> None:
    with psycopg.connect(empty.database_url) as connection:
        connection.execute("CREATE TABLE run_steps (conflicting int)")

    with pytest.raises(Exception, match="already exists"):
        migrate(empty)

    assert object_names(empty.database_url) == {"run_steps", "_run_steps"}
    with psycopg.connect(empty.database_url) as connection:
        connection.execute("DROP TABLE run_steps")
    migrate(empty)


def test_stuck_runs_and_abandoned_resources_of_the_release_before_say_since_when_and_why(empty: Settings) -> None:
    migrate(empty, "0004")
    run, tenant, ada = uuid4(), uuid4(), uuid4()
    with psycopg.connect(empty.database_url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(STUCK_AND_ABANDONED, {"run": run, "tenant": tenant, "ada": ada})

    migrate(empty)

    with psycopg.connect(empty.database_url) as connection:
        runs = connection.execute("SELECT failed_step, error, stuck_step, stuck_error, stuck_since FROM runs")
        since = datetime(2026, 11, 30, 12, 4, tzinfo=UTC)
        assert runs.fetchall() == [("deploy_workloads", "No such plan.", "deploy_workloads", "Not yours.", since)]
        steps = connection.execute("SELECT compensation_error, max_compensation_attempts FROM run_steps")
        assert steps.fetchall() == [("Not yours.", 8)]
        resources = connection.execute("SELECT abandoned_at, abandoned_by_kind, abandoned_by_id FROM resources")
        assert resources.fetchall() == [(datetime(2026, 11, 30, 12, 3, tzinfo=UTC), "USER", ada)]


def test_rights_on_tables_of_the_release_before_become_rights_on_columns_and_back(empty: Settings) -> None:
    def whole_tables() -> set[tuple[object, ...]]:
        with psycopg.connect(empty.database_url) as connection:
            return set(connection.execute(RIGHTS_ON_WHOLE_TABLES))

    migrate(empty, "0012")
    before = whole_tables()
    migrate(empty)
    after = whole_tables()
    migrate(empty, "0012")

    assert {("tenantry_api", "UPDATE", "runs"), ("tenantry_limited", "INSERT", "tenants")} <= before
    assert after == set()
    assert whole_tables() == before


@pytest.fixture
def newer_database(empty: Settings) -> Settings:
    """A database that a later release has migrated."""
    migrate(empty)
    with psycopg.connect(empty.database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    return empty


@pytest.mark.parametrize("revision", ["head", "base"])
def test_an_older_release_refuses_a_newer_database_with_one_line(newer_database: Settings, revision: str) -> None:
    before = catalogue(newer_database.database_url)

    with pytest.raises(MigrationRefused) as refusal:
        migrate(newer_database, revision)

    assert str(refusal.value).startswith("The database is at revision ffffffffffff, which this release does not know")
    assert "\n" not in str(refusal.value)
    assert catalogue(newer_database.database_url) == before


@pytest.mark.parametrize("revision", ["no_such", "0000", "-7", "+7"])
def test_an_unknown_revision_is_refused_with_one_line(empty: Settings, revision: str) -> None:
    migrate(empty)

    with pytest.raises(MigrationRefused) as refusal:
        migrate(empty, revision)

    assert str(refusal.value).startswith(f"The database cannot be migrated to revision {revision!r} (")
    assert "\n" not in str(refusal.value)


def test_the_devserver_reports_why_a_database_cannot_be_migrated(newer_database: Settings) -> None:
    with pytest.raises(DevserverError, match="ffffffffffff, which this release does not know"):
        development._migrate(newer_database)


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "alembic"))
    return ScriptDirectory.from_config(config)


def test_the_migration_history_is_linear() -> None:
    assert len(scripts().get_heads()) == 1
    assert len(scripts().get_bases()) == 1


@pytest.mark.parametrize("revision", [script.revision for script in scripts().walk_revisions()])
def test_a_migration_documents_which_release_may_run_beside_it(revision: str) -> None:
    script = scripts().get_revision(revision)

    assert script is not None
    assert "May run beside:" in (script.module.__doc__ or "")


def test_an_empty_database_is_at_no_revision(empty: Settings) -> None:
    engine = engine_for(empty)
    with engine.connect() as connection:
        found = current(connection)
    engine.dispose()

    assert found is None


def test_the_constraints_of_the_tables_of_a_run_have_no_list_of_values(database_url: str) -> None:
    """Postgres reads them anew in each statement that writes a step."""
    definitions = {
        (name, text) for table, name, _, text in catalogue(database_url)["constraints"] if table in TABLES_OF_A_RUN
    }

    assert len(definitions) > 20
    assert [name for name, text in definitions if "ARRAY[" in text] == []
