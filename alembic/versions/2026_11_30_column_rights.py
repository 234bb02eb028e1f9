"""Column rights: callers' roles insert and update named columns only, and the database places their events.

Rights on a whole table included each column that a later migration adds. A caller's statement could finish a run, take
its lease, or hide a tenant's events behind a high rank. Columns that callers have to write are checked by value:
policies check new rows, and triggers check changes. Both apply to callers' roles only.

May run beside: the release before it. It sends the id and the number of an event, which are replaced by the database's.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

CALLERS = "tenantry_api"
MANAGERS = "tenantry_manager"
SUPPORT = "tenantry_support"
ROLES = f"{CALLERS}, {MANAGERS}, tenantry_limited, {SUPPORT}"

INSERTS = {
    "tenants": (
        "id, organisation_id, slug, name, region, plan_code, first_admin_email, address, state, provisioning_deadline,"
        " version, last_sequence, last_rank, recreated_from_id, created_at, updated_at"
    ),
    "runs": (
        "id, organisation_id, tenant_id, number, address, kind, status, releases_run_id, started_by_kind,"
        " started_by_id, started_by_name, cancel_requested_at, cancel_actor_kind, cancel_actor_id, cancel_actor_name,"
        " cancel_reason, cancel_step_in_flight, due_at, nudged_at, dispatched_at, lease_until, lease_token,"
        " lease_owner, failed_step, error, error_code, stuck_since, stuck_step, stuck_error, deadline_at, created_at,"
        " started_at, finished_at"
    ),
    "run_steps": (
        "run_id, position, name, title, role, status, interruptible, timeout, max_attempts, compensation_timeout,"
        " max_compensation_attempts, compensation_time_limit, attempts, compensation_attempts, lost_workers,"
        " parts_done, percent, message, error, compensation_error, heartbeat_at, attempt_started_at, next_attempt_at,"
        " started_at, finished_at, compensation_started_at, compensation_delayed_at, compensated_at, failing_since"
    ),
    "idempotency_keys": "caller_id, field, key, input_sha256, outcome, created_at, expires_at",
}
"""The ORM names every column of a tenant in an INSERT, also those that stay empty; so does the release before this one
for runs and steps. NEW_ROWS checks their values."""

UPDATES = {
    "tenants": (
        "slug, name, region, plan_code, first_admin_email, address, state, provisioning_deadline, version,"
        " last_sequence, last_rank, recreated_from_id, updated_at"
    ),
    "runs": (
        "status, cancel_requested_at, cancel_actor_kind, cancel_actor_id, cancel_actor_name, cancel_reason,"
        " cancel_step_in_flight, due_at, nudged_at, dispatched_at, lease_until, lease_token, lease_owner, stuck_since,"
        " stuck_step, stuck_error, finished_at"
    ),
    "run_steps": (
        "status, attempts, compensation_attempts, lost_workers, parts_done, message, error, heartbeat_at,"
        " attempt_started_at, next_attempt_at, started_at, finished_at, compensation_started_at,"
        " compensation_delayed_at, failing_since"
    ),
    "idempotency_keys": "input_sha256, outcome, created_at, expires_at",
}

MANAGERS_INSERTS = {
    "members": "id, organisation_id, email, name, role, created_at, subject, invited_at, joined_at, version",
    "service_accounts": (
        "id, organisation_id, name, token_sha256, previous_token_sha256, previous_token_until, scopes, tenant_ids,"
        " created_at, expires_at, last_used_at, revoked_at, version"
    ),
}

DENIAL_COLUMNS = "organisation_id, actor_id, action, reason, repeated"
"""Without the time, which is a default."""

IN_THIS_TRANSACTION = "BETWEEN transaction_timestamp() AND clock_timestamp()"

NEW_ROWS = {
    "tenants": (
        "(state, version) IN (('PENDING', 1), ('PROVISIONING', 2)) AND last_sequence = 0 AND last_rank = 0"
        f" AND created_at {IN_THIS_TRANSACTION} AND updated_at {IN_THIS_TRANSACTION}"
    ),
    "runs": (
        "status = CASE kind WHEN 'PROVISION' THEN 'QUEUED' ELSE 'COMPENSATING' END"
        f" AND started_by_id = caller_id() AND created_at {IN_THIS_TRANSACTION}"
        " AND num_nonnulls(cancel_requested_at, cancel_actor_kind, cancel_actor_id, cancel_actor_name, cancel_reason,"
        " cancel_step_in_flight, lease_until, lease_token, lease_owner, failed_step, error, error_code, stuck_since,"
        " stuck_step, stuck_error, finished_at) = 0"
    ),
    "run_steps": (
        "attempts + compensation_attempts + lost_workers + parts_done = 0"
        " AND num_nonnulls(percent, message, error, compensation_error, heartbeat_at, attempt_started_at,"
        " next_attempt_at, started_at, finished_at, compensation_started_at, compensation_delayed_at, compensated_at,"
        " failing_since) = 0"
        " AND EXISTS (SELECT FROM runs WHERE runs.id = run_id AND runs.created_at >= transaction_timestamp()"
        " AND (run_steps.status = 'WAITING' OR (run_steps.status = 'DONE' AND runs.kind = 'DECOMMISSION')))"
    ),
}
"""The condition of rows that a caller inserts: a tenant, a run and its steps at their beginning, in one transaction."""

ABANDONED = (
    "status = 'ABANDONED'"
    " AND EXISTS (SELECT FROM runs WHERE runs.tenant_id = resources.tenant_id AND runs.status = 'STUCK')"
)

FUNCTIONS = """
CREATE FUNCTION new_event_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (
        lpad(to_hex(microseconds / 1000), 12, '0')
        || '7' || lpad(to_hex(microseconds % 1000 * 4096 / 1000), 3, '0')
        || substr(replace(gen_random_uuid()::text, '-', ''), 17)
    )::uuid
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS microseconds) AS now
$$;

CREATE FUNCTION set_place_of_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE next_number bigint;
BEGIN
    NEW.id := new_event_id();
    NEW.sequence := NULL;
    NEW.rank := NEW.transaction_id;
    IF NEW.tenant_id IS NOT NULL THEN
        SELECT coalesce(max(sequence), 0) + 1 INTO next_number FROM events WHERE tenant_id = NEW.tenant_id;
        SELECT nullif(least(last_sequence, next_number), 0), greatest(last_rank, NEW.transaction_id)
        INTO NEW.sequence, NEW.rank
        FROM tenants WHERE id = NEW.tenant_id;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION check_callers_change_of_a_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state = 'DECOMMISSIONED' AND (NEW.name, NEW.version) IS DISTINCT FROM (OLD.name, OLD.version))
        OR NEW.version < OLD.version
        OR NEW.last_sequence - OLD.last_sequence NOT BETWEEN 0 AND 10
        OR (OLD.state NOT IN ('PENDING', 'FAILED')
            AND (NEW.slug, NEW.address, NEW.region, NEW.plan_code, NEW.first_admin_email, NEW.provisioning_deadline)
                IS DISTINCT FROM
                (OLD.slug, OLD.address, OLD.region, OLD.plan_code, OLD.first_admin_email, OLD.provisioning_deadline))
        OR (OLD.recreated_from_id IS NOT NULL AND NEW.recreated_from_id IS DISTINCT FROM OLD.recreated_from_id)
        OR (NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
            ('PENDING', 'PROVISIONING'), ('PENDING', 'DECOMMISSIONED'),
            ('FAILED', 'PROVISIONING'), ('FAILED', 'DECOMMISSIONED'),
            ('PROVISIONING', 'PENDING'), ('PROVISIONING', 'FAILED'),
            ('ACTIVE', 'SUSPENDED'), ('SUSPENDED', 'ACTIVE'),
            ('ACTIVE', 'DECOMMISSIONING'), ('SUSPENDED', 'DECOMMISSIONING'),
            ('DECOMMISSIONING', 'DECOMMISSIONED')))
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'a caller may not change the tenant in this way';
    END IF;
    IF NEW.last_rank <> OLD.last_rank THEN
        NEW.last_rank := greatest(OLD.last_rank, pg_current_xact_id()::text::bigint);
    END IF;
    IF NEW.updated_at <> OLD.updated_at
        AND NEW.updated_at NOT BETWEEN transaction_timestamp() AND clock_timestamp()
    THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION check_callers_change_of_a_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.finished_at IS NOT NULL AND (NEW.status, NEW.finished_at) IS DISTINCT FROM (OLD.status, OLD.finished_at))
        OR (NEW.status <> OLD.status AND NEW.status NOT IN ('CANCELLING', 'CANCELLED') AND NOT (
            OLD.status = 'STUCK' AND NEW.status IN ('COMPENSATING', 'FAILED', 'DECOMMISSIONED')))
        OR (num_nonnulls(NEW.lease_token, NEW.lease_until, NEW.lease_owner) > 0
            AND (NEW.lease_token, NEW.lease_until, NEW.lease_owner)
                IS DISTINCT FROM (OLD.lease_token, OLD.lease_until, OLD.lease_owner))
        OR (num_nonnulls(NEW.stuck_since, NEW.stuck_step, NEW.stuck_error) > 0
            AND (NEW.stuck_since, NEW.stuck_step, NEW.stuck_error)
                IS DISTINCT FROM (OLD.stuck_since, OLD.stuck_step, OLD.stuck_error))
        OR ((OLD.cancel_requested_at IS NOT NULL OR OLD.finished_at IS NOT NULL OR OLD.kind <> 'PROVISION')
            AND (NEW.cancel_requested_at, NEW.cancel_actor_kind, NEW.cancel_actor_id, NEW.cancel_actor_name,
                    NEW.cancel_reason, NEW.cancel_step_in_flight)
                IS DISTINCT FROM (OLD.cancel_requested_at, OLD.cancel_actor_kind, OLD.cancel_actor_id,
                    OLD.cancel_actor_name, OLD.cancel_reason, OLD.cancel_step_in_flight))
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'a caller may not change the run in this way';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION check_callers_change_of_a_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status
        AND NEW.status NOT IN ('INTERRUPTED', 'COMPENSATING', 'ABANDONED')
        AND (NEW.status, NEW.role) <> ('WAITING', 'AFTERWARDS')
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'a caller may not change the step in this way';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION refuse_to_end_while_resources_are_held() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM resources
        WHERE status IN ('INTENDED', 'HELD') AND CASE TG_TABLE_NAME
            WHEN 'tenants' THEN tenant_id = (to_jsonb(NEW) ->> 'id')::uuid
            WHEN 'runs' THEN
                run_id = coalesce(to_jsonb(NEW) ->> 'releases_run_id', to_jsonb(NEW) ->> 'id')::uuid
            ELSE step = to_jsonb(NEW) ->> 'name' AND run_id = (
                SELECT coalesce(releases_run_id, id) FROM runs WHERE id = (to_jsonb(NEW) ->> 'run_id')::uuid)
        END)
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'resources are still held';
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION new_event_id, set_place_of_event, check_callers_change_of_a_tenant,
    check_callers_change_of_a_run, check_callers_change_of_a_step, refuse_to_end_while_resources_are_held FROM PUBLIC;

CREATE TRIGGER the_database_places_the_events_of_callers BEFORE INSERT ON events FOR EACH ROW
    WHEN (NOT has_table_privilege('events'::regclass, 'INSERT'))
    EXECUTE FUNCTION set_place_of_event();
"""
"""``new_event_id``: a UUIDv7, as in ``models.columns.new_id``.

``set_place_of_event``: the next number. If the tenant has not counted it, it is a number in use, or none: constraints
refuse both, after the policies, so that nothing is learned about tenants of others. One statement can insert several
events: the function sees what the statement has written so far.

The product's own logins have the rights on the whole tables, so a role without them is one of callers'. A statement
that resets its role half-way, to a separate login of the API, changes nothing about that.
"""

CHECKS = {"tenants": "tenant", "runs": "run", "run_steps": "step"}

ENDS = {
    "tenants": "NEW.state <> OLD.state AND NEW.state IN ('PENDING', 'FAILED', 'DECOMMISSIONED')",
    "runs": "NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL",
    "run_steps": "NEW.status = 'ABANDONED' AND OLD.status <> 'ABANDONED'",
}
"""Changes after which nothing may be held. They are checked after the statement: it may also abandon the resources."""

AUTHORS = """
DROP TRIGGER callers_are_the_authors_of_their_events ON events;
DROP TRIGGER support_is_the_author_of_its_events ON events;
CREATE TRIGGER callers_are_the_authors_of_their_events BEFORE INSERT ON events FOR EACH ROW
    WHEN ({by_a_caller}) EXECUTE FUNCTION set_author_of_event('CALLER');
CREATE TRIGGER support_is_the_author_of_its_events BEFORE INSERT ON events FOR EACH ROW
    WHEN ({by_support}) EXECUTE FUNCTION set_author_of_event('SUPPORT');
"""

BY_RIGHTS = {
    "by_a_caller": "NOT has_table_privilege('events'::regclass, 'INSERT') AND pg_has_role('tenantry_api', 'MEMBER')",
    "by_support": "NOT has_table_privilege('events'::regclass, 'INSERT') AND NOT pg_has_role('tenantry_api', 'MEMBER')",
}
BY_ROLE = {
    "by_a_caller": "row_security_active('events'::regclass) AND pg_has_role('tenantry_api', 'USAGE')",
    "by_support": (
        "row_security_active('events'::regclass) AND pg_has_role('tenantry_support', 'USAGE')"
        " AND NOT pg_has_role('tenantry_api', 'USAGE')"
    ),
}
"""As in the release before: passed over by a statement that reset its role half-way."""

NEWEST_EVENT = """
CREATE OR REPLACE FUNCTION newest_event() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
    SELECT id FROM events {condition} ORDER BY id DESC LIMIT 1;
END
"""

NOT_FROM_THE_FUTURE = """
    WHERE id < (
        lpad(to_hex((extract(epoch FROM statement_timestamp()) * 1000)::bigint + 60000), 12, '0') || repeat('0', 20)
    )::uuid
"""
"""An id that a caller of an earlier release chose does not stay the newest one. A minute: the clocks of workers
differ."""


def upgrade() -> None:
    """Replace rights on tables by rights on columns, and add the policies and triggers that check values."""
    for table in (*INSERTS, *MANAGERS_INSERTS, "denials"):
        op.execute(f"REVOKE INSERT ON {table} FROM {ROLES}")
    for table in (*UPDATES, "denials"):
        op.execute(f"REVOKE UPDATE ON {table} FROM {ROLES}")
    for table, columns in INSERTS.items():
        op.execute(f"GRANT INSERT ({columns}), UPDATE ({UPDATES[table]}) ON {table} TO {CALLERS}")
    for table, columns in MANAGERS_INSERTS.items():
        op.execute(f"GRANT INSERT ({columns}) ON {table} TO {MANAGERS}")
    op.execute("ALTER TABLE denials ALTER COLUMN recorded_at SET DEFAULT clock_timestamp()")
    op.execute(f"GRANT INSERT ({DENIAL_COLUMNS}), UPDATE (repeated, reason) ON denials TO {CALLERS}, {SUPPORT}")
    for table, new in NEW_ROWS.items():
        op.execute(f"CREATE POLICY new_rows ON {table} AS RESTRICTIVE FOR INSERT TO {CALLERS} WITH CHECK ({new})")
    op.execute(
        f"CREATE POLICY abandoned_while_stuck ON resources AS RESTRICTIVE FOR UPDATE TO {CALLERS}"
        f" USING (status IN ('INTENDED', 'HELD')) WITH CHECK ({ABANDONED})"
    )
    op.execute(FUNCTIONS)
    op.execute(AUTHORS.format(**BY_RIGHTS))
    for table, thing in CHECKS.items():
        op.execute(
            f"CREATE TRIGGER changes_of_callers_are_checked BEFORE UPDATE ON {table} FOR EACH ROW"
            f" WHEN (NOT has_table_privilege('{table}'::regclass, 'UPDATE'))"
            f" EXECUTE FUNCTION check_callers_change_of_a_{thing}()"
        )
        op.execute(
            f"CREATE TRIGGER callers_end_nothing_that_holds_resources AFTER UPDATE ON {table} FOR EACH ROW"
            f" WHEN ({ENDS[table]} AND NOT has_table_privilege('{table}'::regclass, 'UPDATE'))"
            " EXECUTE FUNCTION refuse_to_end_while_resources_are_held()"
        )
    op.execute(NEWEST_EVENT.format(condition=NOT_FROM_THE_FUTURE))


def downgrade() -> None:
    """Restore the rights on tables."""
    op.execute(NEWEST_EVENT.format(condition=""))
    for table, thing in CHECKS.items():
        op.execute(f"DROP TRIGGER callers_end_nothing_that_holds_resources ON {table}")
        op.execute(f"DROP TRIGGER changes_of_callers_are_checked ON {table}")
        op.execute(f"DROP FUNCTION check_callers_change_of_a_{thing}()")
    op.execute(AUTHORS.format(**BY_ROLE))
    op.execute("DROP TRIGGER the_database_places_the_events_of_callers ON events")
    op.execute("DROP FUNCTION set_place_of_event(), new_event_id(), refuse_to_end_while_resources_are_held()")
    op.execute("DROP POLICY abandoned_while_stuck ON resources")
    for table in NEW_ROWS:
        op.execute(f"DROP POLICY new_rows ON {table}")
    op.execute("ALTER TABLE denials ALTER COLUMN recorded_at DROP DEFAULT")
    op.execute(f"REVOKE INSERT ON denials FROM {CALLERS}, {SUPPORT}")
    op.execute(f"GRANT INSERT ON denials TO {CALLERS}, {SUPPORT}")
    for table in MANAGERS_INSERTS:
        op.execute(f"REVOKE INSERT ON {table} FROM {MANAGERS}")
        op.execute(f"GRANT INSERT ON {table} TO {MANAGERS}")
    for table in INSERTS:
        op.execute(f"REVOKE INSERT, UPDATE ON {table} FROM {CALLERS}")
        op.execute(f"GRANT INSERT, UPDATE ON {table} TO {CALLERS}")
