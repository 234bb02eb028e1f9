"""Initial: every table of the first release.

May run beside: nothing, there is no release before it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

REFUSE_CHANGES = """
CREATE FUNCTION refuse_to_change_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('tenantry.retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit feed is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""
"""Only the retention job may delete events. It sets a parameter for its own transaction:
SET LOCAL tenantry.retention = 'on'."""


def upgrade() -> None:
    op.create_table(
        "host_names",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("claimant", sa.String(length=120), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", "claimant", name=op.f("host_names_pkey")),
    )
    op.create_index(op.f("host_names_tenant_id_idx"), "host_names", ["tenant_id"], unique=False)
    op.create_index(
        "one_holder_per_host_name", "host_names", ["name"], unique=True, postgresql_where=sa.text("released_at IS NULL")
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("field", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("input_sha256", sa.String(length=64), nullable=False),
        sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller_id", "field", "key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index(op.f("idempotency_keys_expires_at_idx"), "idempotency_keys", ["expires_at"], unique=False)
    op.create_table(
        "plans",
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("tenants_allowed", sa.Integer(), nullable=True),
        sa.Column("feed_retention_days", sa.Integer(), nullable=False),
        sa.Column("provisioning_deadline", sa.Interval(), nullable=True),
        sa.PrimaryKeyConstraint("code", name=op.f("plans_pkey")),
    )
    op.create_table(
        "signing_keys",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("kid", sa.String(length=64), nullable=True),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(destroyed_at IS NULL) = (sealed_private_key IS NOT NULL)",
            name=op.f("a_destroyed_key_has_no_private_part"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("signing_keys_pkey")),
    )
    op.create_index(op.f("signing_keys_tenant_id_idx"), "signing_keys", ["tenant_id"], unique=False)
    op.create_table(
        "tenant_accounts",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(destroyed_at IS NULL) = (email IS NOT NULL)", name=op.f("a_destroyed_account_has_no_address")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("tenant_accounts_pkey")),
    )
    op.create_index(op.f("tenant_accounts_tenant_id_idx"), "tenant_accounts", ["tenant_id"], unique=False)
    op.create_table(
        "workloads",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("host_name", sa.String(length=253), nullable=False),
        sa.Column("signing_key", sa.String(length=300), nullable=False),
        sa.Column("storage_schema", sa.String(length=63), nullable=False),
        sa.Column("deployed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("torn_down_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("workloads_pkey")),
    )
    op.create_index(op.f("workloads_tenant_id_idx"), "workloads", ["tenant_id"], unique=False)
    op.create_table(
        "organisations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("plan_code", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "slug ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND char_length(slug) BETWEEN 2 AND 40",
            name=op.f("organisation_slug_is_well_formed"),
        ),
        sa.ForeignKeyConstraint(["plan_code"], ["plans.code"], name=op.f("organisations_plan_code_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("organisations_pkey")),
        sa.UniqueConstraint("slug", name=op.f("organisations_slug_key")),
    )
    op.create_table(
        "members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "OWNER",
                "ADMIN",
                "VIEWER",
                name="member_role_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("members_organisation_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("members_pkey")),
    )
    op.create_index(
        "one_member_per_address", "members", ["organisation_id", sa.literal_column("lower(email)")], unique=True
    )
    op.create_index(
        "one_owner_per_organisation",
        "members",
        ["organisation_id"],
        unique=True,
        postgresql_where=sa.text("role = 'OWNER'"),
    )
    op.create_table(
        "service_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("tenant_ids", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("service_accounts_organisation_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("service_accounts_pkey")),
        sa.UniqueConstraint("token_sha256", name=op.f("service_accounts_token_sha256_key")),
    )
    op.create_index(op.f("service_accounts_organisation_id_idx"), "service_accounts", ["organisation_id"], unique=False)
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("plan_code", sa.String(length=32), nullable=False),
        sa.Column("first_admin_email", sa.String(length=254), nullable=False),
        sa.Column("address", sa.String(length=63), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "PENDING",
                "PROVISIONING",
                "ACTIVE",
                "SUSPENDED",
                "FAILED",
                "DECOMMISSIONING",
                "DECOMMISSIONED",
                name="tenant_state_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("provisioning_deadline", sa.Interval(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_rank", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("recreated_from_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "slug ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND char_length(slug) BETWEEN 2 AND 40",
            name=op.f("tenant_slug_is_well_formed"),
        ),
        sa.CheckConstraint("char_length(address) <= 63", name=op.f("tenant_address_fits_a_dns_label")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 80", name=op.f("tenant_name_is_well_formed")),
        sa.CheckConstraint("version >= 1 AND last_sequence >= 0", name=op.f("tenant_counters_are_positive")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("tenants_organisation_id_fkey")),
        sa.ForeignKeyConstraint(["plan_code"], ["plans.code"], name=op.f("tenants_plan_code_fkey")),
        sa.ForeignKeyConstraint(["recreated_from_id"], ["tenants.id"], name=op.f("tenants_recreated_from_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("tenants_pkey")),
    )
    op.create_index(
        "one_holder_per_address",
        "tenants",
        ["address"],
        unique=True,
        postgresql_where=sa.text("state <> 'DECOMMISSIONED'"),
    )
    op.create_index(
        "one_holder_per_slug",
        "tenants",
        ["organisation_id", "slug"],
        unique=True,
        postgresql_where=sa.text("state <> 'DECOMMISSIONED'"),
    )
    op.create_index("tenants_by_change", "tenants", ["organisation_id", "updated_at", "id"], unique=False)
    op.create_index("tenants_by_creation", "tenants", ["organisation_id", "created_at", "id"], unique=False)
    op.create_index("tenants_by_slug", "tenants", ["organisation_id", "slug", "id"], unique=False)
    op.create_index("tenants_by_state", "tenants", ["organisation_id", "state"], unique=False)
    op.create_index("tenants_of_an_address_newest_first", "tenants", ["address", "created_at"], unique=False)
    op.create_index(op.f("tenants_recreated_from_id_idx"), "tenants", ["recreated_from_id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=63), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "PROVISION",
                "DECOMMISSION",
                name="run_kind_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "QUEUED",
                "RUNNING",
                "CANCELLING",
                "COMPENSATING",
                "STUCK",
                "SUCCEEDED",
                "CANCELLED",
                "FAILED",
                "DECOMMISSIONED",
                name="run_status_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("releases_run_id", sa.Uuid(), nullable=True),
        sa.Column(
            "started_by_kind",
            sa.Enum(
                "USER",
                "INTEGRATION",
                "SUPPORT",
                "SYSTEM",
                name="run_starter_kind_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("started_by_id", sa.Uuid(), nullable=False),
        sa.Column("started_by_name", sa.String(length=254), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "cancel_actor_kind",
            sa.Enum(
                "USER",
                "INTEGRATION",
                "SUPPORT",
                "SYSTEM",
                name="cancel_actor_kind_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("cancel_actor_id", sa.Uuid(), nullable=True),
        sa.Column("cancel_actor_name", sa.String(length=254), nullable=True),
        sa.Column("cancel_reason", sa.String(length=500), nullable=True),
        sa.Column("cancel_step_in_flight", sa.String(length=64), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("nudged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_owner", sa.String(length=120), nullable=True),
        sa.Column("failed_step", sa.String(length=64), nullable=True),
        sa.Column("error", sa.String(length=2000), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('SUCCEEDED','CANCELLED','FAILED','DECOMMISSIONED'))",
            name=op.f("a_run_is_finished_exactly_when_its_status_says_so"),
        ),
        sa.CheckConstraint(
            "(kind = 'DECOMMISSION') = (releases_run_id IS NOT NULL)",
            name=op.f("a_decommission_names_the_run_it_releases"),
        ),
        sa.CheckConstraint(
            "finished_at IS NOT NULL OR due_at IS NOT NULL OR status = 'STUCK'",
            name=op.f("a_run_that_has_not_settled_has_a_next_wake"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('CANCELLING','CANCELLED') OR cancel_requested_at IS NOT NULL",
            name=op.f("nothing_is_cancelled_unasked"),
        ),
        sa.CheckConstraint(
            "(cancel_requested_at IS NULL) = (cancel_actor_id IS NULL)", name=op.f("a_cancel_request_names_who_asked")
        ),
        sa.CheckConstraint(
            "(lease_token IS NULL) = (lease_until IS NULL)", name=op.f("a_lease_has_a_token_and_an_end")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("run_number_is_positive")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("runs_organisation_id_fkey")),
        sa.ForeignKeyConstraint(["releases_run_id"], ["runs.id"], name=op.f("runs_releases_run_id_fkey")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("runs_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("runs_pkey")),
        sa.UniqueConstraint("tenant_id", "number", name="runs_are_numbered_per_tenant"),
    )
    op.create_index(
        "one_live_run_per_tenant", "runs", ["tenant_id"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index(
        "runs_that_are_due", "runs", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index("runs_that_are_stuck", "runs", ["id"], unique=False, postgresql_where=sa.text("status = 'STUCK'"))
    op.create_index(
        "runs_with_a_deadline", "runs", ["deadline_at"], unique=False, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
        sa.Column(
            "rank", sa.BigInteger(), server_default=sa.text("(pg_current_xact_id()::text)::bigint"), nullable=False
        ),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column(
            "actor_kind",
            sa.Enum(
                "USER",
                "INTEGRATION",
                "SUPPORT",
                "SYSTEM",
                name="event_actor_kind_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor_name", sa.String(length=254), nullable=False),
        sa.Column("actor_email", sa.String(length=254), nullable=True),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(tenant_id IS NULL) = (sequence IS NULL)", name=op.f("events_of_a_tenant_are_numbered")),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisations.id"], name=op.f("events_organisation_id_fkey")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("events_run_id_fkey")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("events_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
        sa.UniqueConstraint("tenant_id", "sequence", name="events_are_numbered_per_tenant"),
    )
    op.create_index(
        "feed_by_type",
        "events",
        ["organisation_id", sa.literal_column("type text_pattern_ops"), "rank", "position"],
        unique=False,
    )
    op.create_index("feed_of_a_run", "events", ["run_id", "sequence"], unique=False)
    op.create_index("feed_of_a_tenant", "events", ["tenant_id", "rank", "position"], unique=False)
    op.create_index("feed_of_an_actor", "events", ["organisation_id", "actor_id", "rank", "position"], unique=False)
    op.create_index("feed_of_an_organisation", "events", ["organisation_id", "rank", "position"], unique=False)
    op.create_table(
        "resources",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "INTENDED",
                "HELD",
                "RELEASED",
                "ABANDONED",
                name="resource_status_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("abandoned_by", sa.String(length=254), nullable=True),
        sa.Column("abandoned_reason", sa.String(length=500), nullable=True),
        sa.CheckConstraint("(status = 'RELEASED') = (released_at IS NOT NULL)", name=op.f("released_says_when")),
        sa.CheckConstraint("status <> 'ABANDONED' OR abandoned_reason IS NOT NULL", name=op.f("abandoned_says_why")),
        sa.CheckConstraint("status <> 'HELD' OR held_at IS NOT NULL", name=op.f("held_says_since_when")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("resources_run_id_fkey")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("resources_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("resources_pkey")),
        sa.UniqueConstraint("run_id", "kind", "name", name="a_run_takes_a_resource_once"),
    )
    op.create_index(
        "resources_held_by_a_tenant",
        "resources",
        ["tenant_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('INTENDED','HELD')"),
    )
    op.create_table(
        "run_steps",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "STEP",
                "PIVOT",
                "AFTERWARDS",
                "CONFIRMATION",
                name="step_role_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "WAITING",
                "RUNNING",
                "DONE",
                "FAILED",
                "INTERRUPTED",
                "COMPENSATING",
                "COMPENSATED",
                "COMPENSATION_FAILED",
                "ABANDONED",
                name="step_status_is_known",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("interruptible", sa.Boolean(), nullable=False),
        sa.Column("timeout", sa.Interval(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("compensation_attempts", sa.Integer(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=True),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("error", sa.String(length=2000), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("compensation_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("compensated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("attempts >= 0 AND compensation_attempts >= 0", name=op.f("attempts_are_counted_up")),
        sa.CheckConstraint("percent BETWEEN 0 AND 100", name=op.f("percent_is_a_percentage")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("run_steps_run_id_fkey")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("run_steps_pkey")),
        sa.UniqueConstraint("run_id", "name", name="a_step_is_in_a_run_once"),
    )
    op.create_table(
        "absence_checks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("absence_checks_run_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("absence_checks_pkey")),
    )
    op.create_index(op.f("absence_checks_run_id_idx"), "absence_checks", ["run_id"], unique=False)
    op.bulk_insert(
        sa.table("plans", *[sa.column(name) for name in ("code", "title", "tenants_allowed", "feed_retention_days")]),
        [
            {"code": "free", "title": "Free", "tenants_allowed": 3, "feed_retention_days": 30},
            {"code": "starter", "title": "Starter", "tenants_allowed": 25, "feed_retention_days": 365},
            {"code": "pro", "title": "Pro", "tenants_allowed": 100, "feed_retention_days": 3 * 365},
            {"code": "enterprise", "title": "Enterprise", "tenants_allowed": None, "feed_retention_days": 7 * 365},
        ],
    )
    op.execute(REFUSE_CHANGES)
    op.execute(
        "CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_to_change_events()"
    )
    op.execute(
        "CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_events()"
    )


def downgrade() -> None:
    op.drop_table("absence_checks")
    op.drop_table("run_steps")
    op.drop_table("resources")
    op.drop_table("events")
    op.drop_table("runs")
    op.drop_table("tenants")
    op.drop_table("service_accounts")
    op.drop_table("members")
    op.drop_table("organisations")
    op.drop_table("workloads")
    op.drop_table("tenant_accounts")
    op.drop_table("signing_keys")
    op.drop_table("plans")
    op.drop_table("idempotency_keys")
    op.drop_table("host_names")
    op.execute("DROP FUNCTION refuse_to_change_events()")
