"""Least rights: callers' roles may do what the API needs of them, and the database checks the author of an event.

The role ``tenantry_manager`` is new: only under it are members and service accounts managed, and only it reads their
addresses and digests of tokens. It is granted to every login that can act as ``tenantry_api``.

May run beside: the release before it, which can then no longer manage members and service accounts, nor show the name
of an actor in ``node``: these calls fail with INTERNAL_SERVER_ERROR until this release has replaced it.
"""

from alembic import op
from sqlalchemy import text

from runtime.migrations import MigrationRefused

revision = "0007"
down_revision = "0006"

MANAGERS = "tenantry_manager"
CALLERS = "tenantry_api"
SUPPORT = "tenantry_support"

CREATE_ROLE = """
DO $$ BEGIN
    CREATE ROLE tenantry_manager NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- it exists: for another database of this cluster, by the operator, or concurrently
END $$
"""

JOIN_ROLES = """
DO $$
DECLARE login text;
BEGIN
    GRANT tenantry_api TO tenantry_manager;
    FOR login IN
        SELECT rolname FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = member
        WHERE roleid = to_regrole('tenantry_api') AND rolname NOT IN ('tenantry_limited', 'tenantry_manager')
        UNION SELECT current_user
    LOOP
        EXECUTE format('GRANT tenantry_manager TO %I', login);
    END LOOP;
EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
    NULL;  -- what is missing is found below, and when the API starts
END $$
"""

ACCOUNT_COLUMNS = (
    "name, token_sha256, previous_token_sha256, previous_token_until,"
    " scopes, tenant_ids, expires_at, revoked_at, version"
)
EVENT_COLUMNS = (
    "id, organisation_id, tenant_id, run_id, sequence, rank, type,"
    " actor_kind, actor_id, actor_name, actor_email, data, request_id, created_at"
)
"""Without the transaction and the position, which are the database's own."""

OF_A_TENANT = "EXISTS (SELECT FROM tenants WHERE tenants.id = tenant_id)"
OF_A_RUN = "EXISTS (SELECT FROM runs WHERE runs.id = run_id)"
PLATFORM = "'00000000-0000-0000-0000-000000000000'"


def told(platform: str) -> str:
    """The condition of events that a caller may write. ``platform``: of those in the name of the platform."""
    return (
        "organisation_id = caller_organisation()"
        f" AND (actor_id = caller_id() OR (actor_id = {PLATFORM} AND {platform})"
        " OR EXISTS (SELECT FROM runs WHERE runs.id = run_id AND runs.cancel_actor_id = actor_id))"
        f" AND (tenant_id IS NULL OR {OF_A_TENANT}) AND (run_id IS NULL OR {OF_A_RUN})"
    )


OF_MY_TENANTS = "tenant_id = ANY (caller_tenants())"
OF_NO_TENANT = "tenant_id IS NULL AND (starts_with(type, 'access.') OR type = 'org.feed_exported')"
BY_A_MANAGER = "NOT starts_with(type, 'org.') OR type = 'org.feed_exported' OR pg_has_role('tenantry_manager', 'USAGE')"

SET_AUTHOR = """
CREATE FUNCTION set_author_of_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE author record;
BEGIN
    IF TG_ARGV[0] = 'SUPPORT' THEN
        NEW.actor_kind := 'SUPPORT';  -- there is no table of support staff
    ELSIF NEW.actor_id = '00000000-0000-0000-0000-000000000000' THEN
        NEW.actor_kind := 'SYSTEM';
        NEW.actor_name := 'Tenantry';
        NEW.actor_email := NULL;
    ELSE
        SELECT * INTO author FROM (
            SELECT 'USER' AS kind, name, email FROM members
            WHERE id = NEW.actor_id AND organisation_id = NEW.organisation_id
            UNION ALL
            SELECT 'INTEGRATION', name, NULL FROM service_accounts
            WHERE id = NEW.actor_id AND organisation_id = NEW.organisation_id
            UNION ALL
            SELECT cancel_actor_kind, cancel_actor_name, NULL FROM runs
            WHERE id = NEW.run_id AND cancel_actor_id = NEW.actor_id
        ) AS authors LIMIT 1;
        IF FOUND THEN
            NEW.actor_kind := author.kind;
            -- Compared, not copied: no reader of the event learns an address from it.
            IF NEW.actor_email IS DISTINCT FROM author.email THEN
                NEW.actor_email := NULL;
            END IF;
            IF NEW.actor_name NOT IN (author.name, coalesce(author.email, author.name)) THEN
                NEW.actor_name := author.name;
            END IF;
        ELSIF NEW.actor_kind NOT IN ('USER', 'INTEGRATION') THEN
            NEW.actor_kind := 'USER';  -- a member that this transaction has removed
        END IF;
    END IF;
    IF NEW.created_at NOT BETWEEN transaction_timestamp() AND clock_timestamp() THEN
        NEW.created_at := clock_timestamp();
    END IF;
    NEW.rank := greatest(NEW.rank, NEW.transaction_id);
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION set_author_of_event FROM PUBLIC;

CREATE TRIGGER callers_are_the_authors_of_their_events BEFORE INSERT ON events FOR EACH ROW
    WHEN (row_security_active('events'::regclass) AND pg_has_role('tenantry_api', 'USAGE'))
    EXECUTE FUNCTION set_author_of_event('CALLER');

CREATE TRIGGER support_is_the_author_of_its_events BEFORE INSERT ON events FOR EACH ROW
    WHEN (row_security_active('events'::regclass) AND pg_has_role('tenantry_support', 'USAGE')
        AND NOT pg_has_role('tenantry_api', 'USAGE'))
    EXECUTE FUNCTION set_author_of_event('SUPPORT');
"""
"""For callers' roles only: the product itself writes events of all actors."""

COUNT_TENANTS = """
CREATE OR REPLACE FUNCTION count_tenants(of_organisation uuid, in_states text[]) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
    SELECT count(*) FROM tenants
    WHERE organisation_id = of_organisation AND state = ANY (in_states)
        AND (current_setting('role') NOT IN ({roles})
            OR of_organisation = caller_organisation());
END
"""


def upgrade() -> None:
    _demand_role()
    op.execute(COUNT_TENANTS.format(roles="'tenantry_api', 'tenantry_limited', 'tenantry_manager'"))
    for table in ("members", "service_accounts"):
        op.execute(f"REVOKE ALL ON {table} FROM {CALLERS}, {SUPPORT}")
        op.execute(f"GRANT SELECT (id, organisation_id, name) ON {table} TO {CALLERS}, {SUPPORT}")
        op.execute(f"GRANT SELECT, INSERT ON {table} TO {MANAGERS}")
    op.execute(f"GRANT UPDATE (role, version), DELETE ON members TO {MANAGERS}")
    op.execute(f"GRANT UPDATE ({ACCOUNT_COLUMNS}) ON service_accounts TO {MANAGERS}")
    op.execute(
        f"CREATE POLICY invited ON members AS RESTRICTIVE FOR INSERT TO {CALLERS}"
        " WITH CHECK (role <> 'OWNER' AND subject IS NULL AND joined_at IS NULL)"
    )
    op.execute(f"CREATE POLICY not_the_owner ON members AS RESTRICTIVE FOR DELETE TO {CALLERS} USING (role <> 'OWNER')")
    op.execute(f"REVOKE INSERT ON events FROM {CALLERS}, {SUPPORT}")
    op.execute(f"GRANT INSERT ({EVENT_COLUMNS}) ON events TO {CALLERS}, {SUPPORT}")
    op.execute(f"ALTER POLICY within_reach ON events WITH CHECK ({told('run_id IS NOT NULL')})")
    op.execute(f"ALTER POLICY within_limits ON events WITH CHECK ({OF_MY_TENANTS} OR {OF_NO_TENANT})")
    op.execute(f"CREATE POLICY managed ON events AS RESTRICTIVE FOR INSERT TO {CALLERS} WITH CHECK ({BY_A_MANAGER})")
    op.execute(SET_AUTHOR)


def downgrade() -> None:
    """The role stays: it owns nothing, and other databases of the cluster may use it."""
    op.execute("DROP TRIGGER support_is_the_author_of_its_events ON events")
    op.execute("DROP TRIGGER callers_are_the_authors_of_their_events ON events")
    op.execute("DROP FUNCTION set_author_of_event()")
    op.execute("DROP POLICY managed ON events")
    op.execute(f"ALTER POLICY within_limits ON events WITH CHECK (tenant_id IS NULL OR {OF_MY_TENANTS})")
    op.execute(f"ALTER POLICY within_reach ON events WITH CHECK ({told('true')})")
    op.execute(f"REVOKE INSERT ({EVENT_COLUMNS}) ON events FROM {CALLERS}, {SUPPORT}")
    op.execute(f"GRANT INSERT ON events TO {CALLERS}, {SUPPORT}")
    op.execute("DROP POLICY not_the_owner ON members")
    op.execute("DROP POLICY invited ON members")
    for table in ("members", "service_accounts"):
        op.execute(f"REVOKE ALL ON {table} FROM {MANAGERS}, {CALLERS}, {SUPPORT}")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {CALLERS}")
        op.execute(f"GRANT SELECT ON {table} TO {SUPPORT}")
    op.execute(COUNT_TENANTS.format(roles="'tenantry_api', 'tenantry_limited'"))


def _demand_role() -> None:
    """Create the role if it is missing, and ensure that it inherits the rights of all callers."""
    connection = op.get_bind()
    exists = text("SELECT to_regrole('tenantry_manager') IS NOT NULL")
    if not connection.scalar(exists):
        if not connection.scalar(text("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")):
            raise MigrationRefused(_request())
        connection.execute(text(CREATE_ROLE))
    connection.execute(text(JOIN_ROLES))
    usable = text(
        "SELECT pg_has_role('tenantry_manager', 'tenantry_api', 'USAGE') AND pg_has_role('tenantry_manager', 'MEMBER')"
    )
    if not connection.scalar(usable):
        raise MigrationRefused(_request())


def _request() -> str:
    return (
        "The login of TENANTRY_DATABASE_URL may not create the role tenantry_manager or switch to it: as an "
        "administrator, run CREATE ROLE tenantry_manager NOLOGIN IN ROLE tenantry_api; GRANT tenantry_manager TO that "
        "login and to the login of TENANTRY_API_DATABASE_URL; then migrate again."
    )
