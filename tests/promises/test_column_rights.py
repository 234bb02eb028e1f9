"""The columns that callers' roles may write, from the catalogue of the migrated database: the one list of these rights.

A migration that adds a column which callers write grants INSERT or UPDATE of this column (CONTRIBUTING.md).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from sqlmodel import SQLModel

from models import Denial, IdempotencyKey, Member, Run, RunStep, ServiceAccount, Tenant
from models.columns import RETIRED_COLUMNS
from runtime.migrations import migrate
from runtime.row_level_security import API_ROLE, CALLERS_ROLES, MANAGER_ROLE, SUPPORT_ROLE
from runtime.settings import settings

Connection = psycopg.Connection[tuple[str, ...]]


def columns_of(model: type[SQLModel]) -> set[str]:
    """All columns: an ORM names each in an INSERT, also those that stay empty. A policy checks their values."""
    table = SQLModel.metadata.tables[str(model.__tablename__)]
    return {column.name for column in table.columns} | retired(table.name)


def retired(table: str) -> set[str]:
    """Columns that only the release before this one writes."""
    return {name for of, name in RETIRED_COLUMNS if of == table}


def named(columns: str) -> set[str]:
    return set(columns.split())


EVENT = named(
    "id organisation_id tenant_id run_id sequence rank type actor_kind actor_id actor_name actor_email data request_id"
    " created_at"
)
"""The id, the sequence, the rank and the time are accepted and replaced: the release before this one sends them."""

INSERTS: Mapping[str, Mapping[str, set[str]]] = {
    API_ROLE: {
        "tenants": columns_of(Tenant),
        "runs": columns_of(Run),
        "run_steps": columns_of(RunStep),
        "events": EVENT,
        "idempotency_keys": columns_of(IdempotencyKey),
        "denials": columns_of(Denial) - {"recorded_at"},
    },
    MANAGER_ROLE: {"members": columns_of(Member), "service_accounts": columns_of(ServiceAccount)},
    SUPPORT_ROLE: {"events": EVENT, "denials": columns_of(Denial) - {"recorded_at"}},
}

UPDATES: Mapping[str, Mapping[str, set[str]]] = {
    API_ROLE: {
        "organisations": {"name"},  # for locks: a policy refuses the change
        "tenants": columns_of(Tenant) - {"id", "organisation_id", "created_at"},
        "runs": named(
            "status cancel_requested_at cancel_actor_kind cancel_actor_id cancel_actor_name cancel_reason"
            " cancel_step_in_flight due_at dispatched_at lease_until lease_token lease_owner stuck_since"
            " stuck_step stuck_error finished_at"
        )
        | retired("runs"),
        "run_steps": named(
            "status attempts compensation_attempts lost_workers parts_done message error heartbeat_at"
            " attempt_started_at next_attempt_at started_at finished_at compensation_started_at"
            " compensation_delayed_at failing_since"
        ),
        "resources": named("status abandoned_at abandoned_by_kind abandoned_by_id abandoned_by abandoned_reason"),
        "idempotency_keys": {"input_sha256", "outcome", "created_at", "expires_at"},
        "denials": {"repeated", "reason"},
    },
    MANAGER_ROLE: {
        "members": {"role", "version"},
        "service_accounts": columns_of(ServiceAccount) - {"id", "organisation_id", "created_at", "last_used_at"},
    },
    SUPPORT_ROLE: {"denials": {"repeated", "reason"}},
}

COLUMN_RIGHTS = """
    SELECT grantee, table_name, column_name FROM information_schema.column_privileges
    WHERE table_schema = 'public' AND privilege_type = %s AND grantee = ANY (%s)
"""
RIGHTS_ON_TABLES = """
    SELECT grantee::regrole::text || ' ' || privilege_type || ' ' || relname
    FROM pg_class, aclexplode(relacl)
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND privilege_type <> 'SELECT'
        AND grantee <> 0 AND grantee::regrole::text = ANY (%s)
    UNION ALL
    SELECT 'PUBLIC ' || privilege_type || ' ' || relname FROM pg_class, aclexplode(relacl)
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND grantee = 0
"""


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[Connection]:
    migrate(settings())
    with psycopg.connect(database_url) as connection:
        yield connection


@pytest.mark.parametrize(("privilege", "expected"), [("INSERT", INSERTS), ("UPDATE", UPDATES)])
def test_callers_may_write_exactly_these_columns(
    connection: Connection, privilege: str, expected: Mapping[str, Mapping[str, set[str]]]
) -> None:
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for role, table, column in connection.execute(COLUMN_RIGHTS, [privilege, [*CALLERS_ROLES, "PUBLIC"]]):
        found[role][table].add(column)

    assert found == expected, "grant the right in the migration that adds the column, and extend the list above"


def test_no_right_of_callers_to_write_is_on_a_whole_table(connection: Connection) -> None:
    """A right on a table would include each column that a later migration adds. DELETE has no columns."""
    rights = {right for (right,) in connection.execute(RIGHTS_ON_TABLES, [list(CALLERS_ROLES)])}

    assert rights == {"tenantry_manager DELETE members"}
