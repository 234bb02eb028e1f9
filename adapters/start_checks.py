"""The databases that a process needs with the rights of its logins there: checked at the start and in /readyz."""

import logging
import time
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from runtime.connections import UnsupportedEncoding, connect
from runtime.error_lines import first_line
from runtime.row_level_security import CALLERS_ROLES
from runtime.settings import Settings, SettingsRefused, WorldKind

logger = logging.getLogger(__name__)

VALID_FOR = 30.0
"""Seconds for which /readyz repeats a result, so that probes open few connections."""

SHARED = (
    "The tenants' schemas would be in the product's own database, where a tenant's login can stop the product: set "
    "TENANTRY_TENANTS_DATABASE_URL to a database of another Postgres cluster. "
    "Only for development, TENANTRY_DEVELOPMENT=true allows it."
)

PLACE = "SELECT pg_postmaster_start_time(), current_database()"
"""The cluster and the database of a connection, also when two addresses for it differ."""

STORAGE_RIGHTS = """
    SELECT current_user, current_database(), rolsuper OR rolcreaterole,
        has_database_privilege(current_database(), 'CREATE'),
        to_regnamespace('tenantry_outside') IS NULL OR has_schema_privilege('tenantry_outside', 'USAGE')
            AND NOT EXISTS (
                SELECT FROM pg_class WHERE relnamespace = to_regnamespace('tenantry_outside') AND relkind = 'r'
                    AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                        AND has_table_privilege(oid, 'UPDATE'))
            )
    FROM pg_roles WHERE rolname = current_user
"""

MISSING_ROLES = """
    SELECT current_user, role FROM unnest(%s::text[]) AS role
    WHERE to_regrole(role) IS NOT NULL AND NOT pg_has_role(
        to_regrole(role), CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END
    )
"""
"""Roles of callers that the login cannot take on. Before the first migration none exists."""

Find = Callable[[Settings], str | None]


def refuse_to_start(settings: Settings, find: Find) -> None:
    """Raise SettingsRefused if ``find`` finds a problem. An unreachable database is none: it may come back."""
    try:
        problem = find(settings)
    except UnsupportedEncoding as error:
        problem = f"The database cannot be used: {error}."
    except psycopg.OperationalError as error:
        logger.warning("databases not checked: a database is unreachable", extra={"cause": first_line(error)})
        return
    except psycopg.Error as error:
        problem = f"The database cannot be used: {first_line(error)}."
    if problem:
        raise SettingsRefused(problem)


def api_problem(settings: Settings) -> str | None:
    """Why the API cannot do its work with these databases and logins; None if it can. Raises psycopg.Error."""
    return worker_problem(settings) or _callers_problem(settings)


def worker_problem(settings: Settings) -> str | None:
    """The same for a worker."""
    if settings.world is WorldKind.SIMULATED:
        return None
    if _is_shared_by_name(settings) and not settings.development:
        return SHARED
    with (
        connect(settings.database_url, "tenantry-check") as own,
        connect(settings.tenants_database, "tenantry-check") as tenants,
    ):
        (own_start, own_name), (start, name) = own.execute(PLACE).fetchall()[0], tenants.execute(PLACE).fetchall()[0]
        if own_start == start and not settings.development:
            if own_name == name:
                return SHARED
            logger.warning("tenants share a Postgres cluster with the product: use one of their own")
        return _storage_problem(tenants)


class RecentProblem:
    """The result of a check, found again at most every VALID_FOR seconds."""

    def __init__(self, settings: Settings, find: Find) -> None:
        self._settings = settings
        self._find = find
        self._found: tuple[float, str | None] | None = None

    def get(self) -> str | None:
        """The problem, or None. Raises psycopg.Error."""
        if self._found is None or time.monotonic() > self._found[0] + VALID_FOR:
            self._found = time.monotonic(), self._find(self._settings)
        return self._found[1]


def _is_shared_by_name(settings: Settings) -> bool:
    return conninfo_to_dict(settings.tenants_database) == conninfo_to_dict(settings.database_url)


def _storage_problem(connection: "psycopg.Connection[tuple[str, str, bool, bool, bool]]") -> str | None:
    login, database, creates_roles, creates_schemas, uses_tombstones = connection.execute(STORAGE_RIGHTS).fetchall()[0]
    says = f"The login {login} of TENANTRY_TENANTS_DATABASE_URL"
    if not creates_roles:
        return f"{says} may not create roles: as an administrator, run ALTER ROLE {login} CREATEROLE."
    if not creates_schemas:
        return (
            f"{says} may not create schemas in the database {database}: "
            f"as an administrator, run GRANT CREATE ON DATABASE {database} TO {login}."
        )
    if not uses_tombstones:
        return (
            f"{says} may not use the schema tenantry_outside: as its owner, run GRANT USAGE ON SCHEMA tenantry_outside "
            f"TO {login}; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA tenantry_outside TO {login}."
        )
    return None


def _callers_problem(settings: Settings) -> str | None:
    url = settings.api_database_url or settings.database_url
    variable = "TENANTRY_API_DATABASE_URL" if settings.api_database_url else "TENANTRY_DATABASE_URL"
    with connect(url, "tenantry-check") as connection:
        missing = connection.execute(MISSING_ROLES, [list(CALLERS_ROLES)]).fetchall()
    if not missing:
        return None
    login, roles = missing[0][0], ", ".join(str(role) for _, role in missing)
    return (
        f"The login {login} of {variable} may not act for callers: as an administrator, run GRANT {roles} TO {login}."
    )
