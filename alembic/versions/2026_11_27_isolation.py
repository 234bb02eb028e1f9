"""Row-level security: callers' statements run under roles that own nothing, and see what is within their reach.

May run beside: the release before it, if that logs in as the owner of the tables, whom no policy concerns. A login that
does not own them sees nothing from now on, until it is given policies of its own (docs/operating.md, "Roles").
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
    NULL;  -- made for another database of this cluster, by the operator, or by somebody else at this moment
END $$
"""

JOIN_ROLE = """
DO $$ BEGIN
    GRANT {role} TO {member};
EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
    NULL;  -- whether it was necessary shows when it is tried out
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
"""The small ones are written out by the planner wherever they stand. A setting that is missing reaches nothing.

The last one counts for a quota what the caller may not see, and tells nobody about another organisation.
"""

MINE = "organisation_id = caller_organisation()"
OF_A_TENANT = "EXISTS (SELECT FROM tenants WHERE tenants.id = tenant_id)"
OF_A_RUN = "EXISTS (SELECT FROM runs WHERE runs.id = run_id)"
"""A caller finds in tenants and runs what the policies of these let it find."""

IN_MY_NAME = (
    "(actor_id IN (caller_id(), '00000000-0000-0000-0000-000000000000')"
    " OR EXISTS (SELECT FROM runs WHERE runs.id = run_id AND runs.cancel_actor_id = actor_id))"
)
"""Or, when what a caller asked for ends a run, in the platform's name or that of whoever had cancelled the run."""

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
"""For callers, of each table: which rows exist, and which may be written. Without a policy there is no row at all."""

LIMITS = {
    "tenants": "id = ANY (caller_tenants())",
    "runs": "tenant_id = ANY (caller_tenants())",
    "events": "tenant_id = ANY (caller_tenants())",
}
"""For callers who are limited to some tenants, besides. A role of its own, because the planner cannot guess an OR."""

SAID = "tenant_id IS NULL OR tenant_id = ANY (caller_tenants())"
"""What such a caller may write into the feed: also that it was denied something."""

UNREACHED = ("host_names", "signing_keys", "tenant_accounts", "workloads")
"""Workers' and the edge's: no caller reads or writes them."""

WRITES = {
    # Nobody may write an organisation; to lock it takes the right to change some column.
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
"""By support, and of all organisations."""

ON_RECORD = (
    "actor_id = caller_id() AND tenant_id IS NULL AND (starts_with(type, 'access.') OR type = 'org.feed_exported')"
)
"""What support may write: what it looked at, took away or was denied, in its own name."""


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
    """The roles stay: they own nothing, and other databases of the cluster may know them."""
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
    """Have the role, and the right to switch to it."""
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
    """Have whoever is limited held to what binds every caller."""
    connection = op.get_bind()
    connection.execute(text(JOIN_ROLE.format(role=CALLERS, member=LIMITED)))
    if not connection.scalar(text(f"SELECT pg_has_role('{LIMITED}', '{CALLERS}', 'USAGE')")):
        raise MigrationRefused(
            f"{LIMITED} does not inherit from {CALLERS}: have somebody who may run "
            f"GRANT {CALLERS} TO {LIMITED}; then migrate again."
        )


def _request(role: str) -> str:
    return (
        f"The login of TENANTRY_DATABASE_URL may not create or take on the role {role}: have somebody who may run "
        f"CREATE ROLE {role} NOLOGIN; GRANT {role} TO that login; then migrate again."
    )
