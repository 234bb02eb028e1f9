"""Row-level security: the policies for callers' statements.

Callers' statements run under roles that own no table. They see only the rows that the caller has access to.

May run beside: the release before it, if that logs in as the owner of the tables, to which no policy applies. A login
that does not own the tables sees no row after this migration, until it has policies of its own (docs/operating.md,
"Roles").
"""

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from runtime.migrations import MigrationRefused

revision = "0003"
down_revision = "0002"

CALLERS = "tenantry_api"
LIMITED = "tenantry_limited"
SUPPORT = "tenantry_support"

CREATE_ROLE = """
DO $$ BEGIN
    CREATE ROLE {role} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- it exists: for another database of this cluster, by the operator, or concurrently
END $$
"""

JOIN_ROLE = """
DO $$ BEGIN
    GRANT {role} TO {member};
EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
    NULL;  -- the role is tried below, which shows whether the grant was necessary
END $$
"""

FUNCTIONS = """
CREATE FUNCTION caller_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenantry.caller', true), '')::uuid;

CREATE FUNCTION caller_organisation() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenantry.organisation', true), '')::uuid;

CREATE FUNCTION caller_tenants() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenantry.tenants', true), '')::uuid[];

CREATE FUNCTION count_tenants(of_organisation uuid, in_states text[]) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
    SELECT count(*) FROM tenants
    WHERE organisation_id = of_organisation AND state = ANY (in_states)
        AND (current_setting('role') NOT IN ('tenantry_api', 'tenantry_limited')
            OR of_organisation = caller_organisation());
END;

REVOKE EXECUTE ON FUNCTION count_tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_tenants TO tenantry_api, tenantry_support;
"""
"""The planner inlines the three small functions. When a setting is missing they return NULL, which matches no row.

``count_tenants`` counts tenants for a quota, including those that the caller cannot see. For another organisation than
the caller's it returns 0.
"""

MINE = "organisation_id = caller_organisation()"
OF_A_TENANT = "EXISTS (SELECT FROM tenants WHERE tenants.id = tenant_id)"
OF_A_RUN = "EXISTS (SELECT FROM runs WHERE runs.id = run_id)"
"""In these subqueries the policies of ``tenants`` and ``runs`` apply too."""

IN_MY_NAME = (
    "(actor_id IN (caller_id(), '00000000-0000-0000-0000-000000000000')"
    " OR EXISTS (SELECT FROM runs WHERE runs.id = run_id AND runs.cancel_actor_id = actor_id))"
)
"""The actor of an event is the caller. When the caller's request ends a run, it can also be the platform or the actor
that cancelled the run."""

TOLD = f"{MINE} AND {IN_MY_NAME} AND (tenant_id IS NULL OR {OF_A_TENANT}) AND (run_id IS NULL OR {OF_A_RUN})"

RULES = {
    "organisations": ("id = caller_organisation()", "false"),
    "members": (MINE, MINE),
    "service_accounts": (MINE, MINE),
    "tenants": (MINE, MINE),
    "runs": (MINE, f"{MINE} AND {OF_A_TENANT}"),
    "run_steps": (OF_A_RUN, OF_A_RUN),
    "resources": (OF_A_TENANT, OF_A_TENANT),
    "absence_checks": (OF_A_RUN, "false"),
    "events": (MINE, TOLD),
    "idempotency_keys": ("caller_id = caller_id()", "caller_id = caller_id()"),
}
"""For callers, for each table: the condition of visible rows, and of rows that may be written. A table without a
policy has no visible row."""

LIMITS = {
    "tenants": "id = ANY (caller_tenants())",
    "runs": "tenant_id = ANY (caller_tenants())",
    "events": "tenant_id = ANY (caller_tenants())",
}
"""Additional conditions for callers that are limited to some tenants. They have a role of their own, because the
planner cannot estimate the rows of an OR."""

SAID = "tenant_id IS NULL OR tenant_id = ANY (caller_tenants())"
"""Events that a limited caller may write. The first part allows events of denied access."""

UNREACHED = ("host_names", "signing_keys", "tenant_accounts", "workloads")
"""Tables of the workers and the edge: callers neither read nor write them."""

WRITES = {
    # Callers never change an organisation, but locking its row requires the right to update a column.
    "organisations": "UPDATE (name)",
    "members": "INSERT, UPDATE, DELETE",
    "service_accounts": "INSERT, UPDATE, DELETE",
    "tenants": "INSERT, UPDATE",
    "runs": "INSERT, UPDATE",
    "run_steps": "INSERT, UPDATE",
    "resources": "UPDATE (status, abandoned_by, abandoned_reason)",
    "events": "INSERT",
    "idempotency_keys": "INSERT, UPDATE",
}

LOOKED_AT = [table for table in RULES if table != "idempotency_keys"]
"""Tables that support reads, for all organisations."""

ON_RECORD = (
    "actor_id = caller_id() AND tenant_id IS NULL AND (starts_with(type, 'access.') OR type = 'org.feed_exported')"
)
"""Events that support may write, with itself as the actor: its accesses, exports and denials."""


def upgrade() -> None:
    for role in (CALLERS, LIMITED, SUPPORT):
        _demand_role(role)
    _demand_inheritance()
    op.execute(FUNCTIONS)
    op.execute(f"GRANT SELECT ON plans TO {CALLERS}, {SUPPORT}")
    for table in [*RULES, *UNREACHED]:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    for table, (exists, written) in RULES.items():
        op.execute(f"CREATE POLICY within_reach ON {table} TO {CALLERS} USING ({exists}) WITH CHECK ({written})")
        op.execute(f"GRANT SELECT ON {table} TO {CALLERS}")
    for table, mine in LIMITS.items():
        written = SAID if table == "events" else mine
        op.execute(
            f"CREATE POLICY within_limits ON {table} AS RESTRICTIVE TO {LIMITED} USING ({mine}) WITH CHECK ({written})"
        )
    for table, rights in WRITES.items():
        op.execute(f"GRANT {rights} ON {table} TO {CALLERS}")
    for table in LOOKED_AT:
        op.execute(f"CREATE POLICY support_looks ON {table} FOR SELECT TO {SUPPORT} USING (true)")
        op.execute(f"GRANT SELECT ON {table} TO {SUPPORT}")
    op.execute(f"CREATE POLICY support_goes_on_record ON events FOR INSERT TO {SUPPORT} WITH CHECK ({ON_RECORD})")
    op.execute(f"GRANT INSERT ON events TO {SUPPORT}")


def downgrade() -> None:
    """The roles stay: they own nothing, and other databases of the cluster may use them."""
    op.execute(f"REVOKE ALL ON plans FROM {CALLERS}, {SUPPORT}")
    op.execute("DROP POLICY support_goes_on_record ON events")
    for table in LOOKED_AT:
        op.execute(f"DROP POLICY support_looks ON {table}")
    for table in LIMITS:
        op.execute(f"DROP POLICY within_limits ON {table}")
    for table in RULES:
        op.execute(f"DROP POLICY within_reach ON {table}")
    for table in [*RULES, *UNREACHED]:
        op.execute(f"REVOKE ALL ON {table} FROM {CALLERS}, {SUPPORT}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute("DROP FUNCTION count_tenants(uuid, text[])")
    op.execute("DROP FUNCTION caller_tenants(), caller_organisation(), caller_id()")


def _demand_role(role: str) -> None:
    """Create the role if it is missing, and ensure that the login can switch to it."""
    connection = op.get_bind()
    if connection.scalar(text("SELECT to_regrole(:role) IS NULL"), {"role": role}):
        if not connection.scalar(text("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")):
            raise MigrationRefused(_request(role))
        connection.execute(text(CREATE_ROLE.format(role=role)))
    connection.execute(text(JOIN_ROLE.format(role=role, member="CURRENT_USER")))
    try:
        connection.execute(text(f"SET LOCAL ROLE {role}"))
    except ProgrammingError:
        raise MigrationRefused(_request(role)) from None
    connection.execute(text("SET LOCAL ROLE NONE"))


def _demand_inheritance() -> None:
    """Make the role of limited callers inherit the policies of all callers."""
    connection = op.get_bind()
    connection.execute(text(JOIN_ROLE.format(role=CALLERS, member=LIMITED)))
    if not connection.scalar(text(f"SELECT pg_has_role('{LIMITED}', '{CALLERS}', 'USAGE')")):
        raise MigrationRefused(
            f"{LIMITED} does not inherit from {CALLERS}: run GRANT {CALLERS} TO {LIMITED} "
            "with a role that may grant it, then migrate again."
        )


def _request(role: str) -> str:
    return (
        f"The login of TENANTRY_DATABASE_URL may not create the role {role} or switch to it: as an administrator, run "
        f"CREATE ROLE {role} NOLOGIN; GRANT {role} TO that login; then migrate again."
    )
