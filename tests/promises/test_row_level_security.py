"""Every table is under row-level security, also the ones that a later migration adds."""

from collections.abc import Iterator

import psycopg
import pytest

from runtime.migrations import migrate
from runtime.settings import settings

OPEN_TO_ALL = {
    "plans": "the plans on offer: the same for every organisation, and no organisation's data",
    "alembic_version": "for migrations only: no caller may even read it",
}
"""Tables without row-level security, and why."""

NOT_FOR_CALLERS = {
    "readiness_checks": "readiness checks write them",
    "host_names": "workers reserve them, the edge reads them",
    "signing_keys": "workers make them, the edge reads the public parts",
    "tenant_accounts": "workers make them",
    "workloads": "the built-in deployer's",
}
"""Tables of which no caller sees a row, and why. They have no policy, and no role has a grant on them."""

ROLES = ["tenantry_api", "tenantry_limited", "tenantry_support"]
"""Roles with policies of their own. tenantry_manager has those of tenantry_api."""


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[psycopg.Connection[tuple[str, ...]]]:
    migrate(settings())
    with psycopg.connect(database_url) as connection:
        yield connection


def names(connection: psycopg.Connection[tuple[str, ...]], query: str) -> set[str]:
    return {name for (name,) in connection.execute(query.encode())}


def test_every_table_is_under_row_level_security(connection: psycopg.Connection[tuple[str, ...]]) -> None:
    free = names(
        connection,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'f')"
        " AND NOT relrowsecurity",
    )

    assert free == set(OPEN_TO_ALL), "enable row-level security in the migration that adds a table (CONTRIBUTING.md)"


def test_every_table_under_row_level_security_says_what_callers_and_support_see(
    connection: psycopg.Connection[tuple[str, ...]],
) -> None:
    tables = names(connection, "SELECT relname FROM pg_class WHERE relrowsecurity")
    for_callers = names(connection, "SELECT tablename FROM pg_policies WHERE 'tenantry_api' = ANY (roles)")
    for_support = names(connection, "SELECT tablename FROM pg_policies WHERE 'tenantry_support' = ANY (roles)")

    assert tables - for_callers == set(NOT_FOR_CALLERS)
    assert tables - for_support == {*NOT_FOR_CALLERS, "idempotency_keys"}


def test_every_table_with_a_tenant_id_is_limited_for_a_limited_caller(
    connection: psycopg.Connection[tuple[str, ...]],
) -> None:
    with_tenants = names(
        connection,
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'tenant_id'",
    )
    limited = names(connection, "SELECT tablename FROM pg_policies WHERE 'tenantry_limited' = ANY (roles)")
    through_another = names(connection, "SELECT tablename FROM pg_policies WHERE qual LIKE '%EXISTS%'")

    assert with_tenants - limited - through_another == set(NOT_FOR_CALLERS) - {"readiness_checks"}
    assert limited == {"tenants", "runs", "resources", "events"}


def test_every_policy_names_a_role(connection: psycopg.Connection[tuple[str, ...]]) -> None:
    assert names(connection, "SELECT DISTINCT unnest(roles)::text FROM pg_policies") == set(ROLES)


def test_no_view_and_only_reviewed_functions_bypass_the_policies(
    connection: psycopg.Connection[tuple[str, ...]],
) -> None:
    views = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'"
    definers = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"

    assert names(connection, views) == set()
    reviewed = {
        "address_belongs_to_another",
        "count_tenants",
        "has_event",
        "is_tenant_of_caller",
        "newest_event",
        "refuse_to_end_while_resources_are_held",
        "set_author_of_event",
        "set_place_of_event",
    }
    assert names(connection, definers) == reviewed, "it reads every row: review it, then add it here"


def test_a_function_that_runs_as_the_owner_is_for_callers_only(connection: psycopg.Connection[tuple[str, ...]]) -> None:
    """Tenants' own logins may share this database with the product, so PUBLIC includes them."""
    executable_by_public = (
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        " AND has_function_privilege('public', oid, 'EXECUTE')"
    )

    assert names(connection, executable_by_public) == set()


def test_no_caller_was_granted_anything_on_a_table_that_is_not_for_callers(
    connection: psycopg.Connection[tuple[str, ...]],
) -> None:
    closed = [*NOT_FOR_CALLERS, "alembic_version"]
    rights = "SELECT grantee FROM information_schema.column_privileges WHERE table_name = '%s'"

    granted = {table: names(connection, rights % table) & {*ROLES, "PUBLIC"} for table in closed}

    assert granted == {table: set() for table in closed}
