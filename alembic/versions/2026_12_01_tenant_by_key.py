"""Tenant by key: policies find the tenant of a row by its primary key, whatever the planner knows of an organisation.

Policies looked for the tenant in a subquery, and the policy of ``tenants`` added the organisation to it. For an
organisation that has grown since the last ANALYZE, the planner expects one tenant, takes an index of organisations, and
reads all its tenants for each row that is written: 250 events of one cancel cost ten times as much with 2,000 tenants.

May run beside: the release before it, which only gets faster.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

LIMITED = "tenantry_limited"

FUNCTION = """
CREATE FUNCTION is_tenant_of_caller(tenant uuid) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM tenants WHERE id = tenant AND organisation_id IS NOT DISTINCT FROM caller_organisation());
END;

REVOKE EXECUTE ON FUNCTION is_tenant_of_caller FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_tenant_of_caller TO tenantry_api;
"""
"""No index can find rows by IS NOT DISTINCT FROM, so the primary key is left. A missing organisation matches no row,
because ``organisation_id`` is never NULL. Of another organisation's tenant it says no more than of none."""

BY_KEY = "is_tenant_of_caller(tenant_id)"
BY_SUBQUERY = "EXISTS (SELECT FROM tenants WHERE tenants.id = tenant_id)"

MINE = "organisation_id = caller_organisation()"
BY_A_CALLER = (
    "(actor_id = caller_id() OR (actor_id = '00000000-0000-0000-0000-000000000000' AND run_id IS NOT NULL)"
    " OR EXISTS (SELECT FROM runs WHERE runs.id = run_id AND runs.cancel_actor_id = actor_id))"
)
OF_A_RUN = "(run_id IS NULL OR EXISTS (SELECT FROM runs WHERE runs.id = run_id))"
"""The rest of the conditions, as in the release before."""

LIMITS = "tenant_id = ANY (caller_tenants())"
"""Resources had the limit of ``tenants`` by the subquery; ``events`` and ``runs`` have their own."""


def upgrade() -> None:
    """Replace the subqueries of events, runs and resources."""
    # In the order in which workers lock them.
    op.execute("LOCK TABLE runs, resources, events IN ACCESS EXCLUSIVE MODE")
    op.execute(FUNCTION)
    _find_tenants(BY_KEY)
    op.execute(
        f"CREATE POLICY within_limits ON resources AS RESTRICTIVE TO {LIMITED} USING ({LIMITS}) WITH CHECK ({LIMITS})"
    )


def downgrade() -> None:
    """Restore the subqueries."""
    op.execute("LOCK TABLE runs, resources, events IN ACCESS EXCLUSIVE MODE")
    op.execute("DROP POLICY within_limits ON resources")
    _find_tenants(BY_SUBQUERY)
    op.execute("DROP FUNCTION is_tenant_of_caller")


def _find_tenants(of_the_caller: str) -> None:
    op.execute(f"ALTER POLICY within_reach ON runs WITH CHECK ({MINE} AND {of_the_caller})")
    op.execute(f"ALTER POLICY within_reach ON resources USING ({of_the_caller}) WITH CHECK ({of_the_caller})")
    of_a_tenant = f"(tenant_id IS NULL OR {of_the_caller})"
    op.execute(
        f"ALTER POLICY within_reach ON events WITH CHECK ({MINE} AND {BY_A_CALLER} AND {of_a_tenant} AND {OF_A_RUN})"
    )
