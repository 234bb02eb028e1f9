"""What failed: columns for why a run failed, since when it is stuck, what was left behind, and how long undos may take.

May run beside: the release before it, which does not write the new columns. They are nullable or have a default. A run
that it plans has no timeout for undos: then the timeout of the step applies. It still writes the error of a stuck run
into ``runs.error``; the API shows that column only for a run with a failed step.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ERROR_CODES = "'REFUSED', 'ATTEMPTS_EXHAUSTED', 'TIMED_OUT', 'WORKER_LOST'"
ACTOR_KINDS = "'USER', 'INTEGRATION', 'SUPPORT', 'SYSTEM'"

STUCK_RUNS = """
    UPDATE runs SET
        stuck_since = (
            SELECT max(created_at) FROM events WHERE run_id = runs.id AND type = 'tenant.provisioning.stuck'
        ),
        stuck_step = (SELECT name FROM run_steps WHERE run_id = runs.id AND status = 'COMPENSATION_FAILED' LIMIT 1),
        stuck_error = error,
        error = (
            SELECT data ->> 'error' FROM events
            WHERE run_id = runs.id AND type = 'tenant.provisioning.step_failed' AND data ->> 'step' = failed_step
            ORDER BY sequence DESC LIMIT 1
        )
    WHERE status = 'STUCK'
"""
"""The column ``error`` of a stuck run had the error of the undo. The error of the failed step is still in the feed."""

STUCK_STEPS = """
    UPDATE run_steps SET compensation_error = error WHERE status = 'COMPENSATION_FAILED'
"""

ABANDONED_RESOURCES = """
    UPDATE resources SET
        abandoned_at = resumed.created_at, abandoned_by_kind = actor_kind, abandoned_by_id = actor_id
    FROM (
        SELECT DISTINCT ON (tenant_id, step) tenant_id, step, created_at, actor_kind, actor_id
        FROM events, jsonb_array_elements_text(data -> 'skipped') AS step
        WHERE type = 'tenant.provisioning.compensation_resumed'
        ORDER BY tenant_id, step, sequence DESC
    ) AS resumed
    WHERE resources.status = 'ABANDONED'
        AND resources.tenant_id = resumed.tenant_id AND resources.step = resumed.step
"""


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.add_column("runs", sa.Column("error_code", sa.String(32), nullable=True))
    op.create_check_constraint("run_error_code_is_known", "runs", f"error_code IN ({ERROR_CODES})")
    op.add_column("runs", sa.Column("stuck_since", instant, nullable=True))
    op.add_column("runs", sa.Column("stuck_step", sa.String(64), nullable=True))
    op.add_column("runs", sa.Column("stuck_error", sa.String(2000), nullable=True))

    op.add_column("run_steps", sa.Column("compensation_timeout", sa.Interval(), nullable=True))
    op.add_column(
        "run_steps",
        sa.Column("max_compensation_attempts", sa.Integer(), nullable=False, server_default=sa.text("8")),
    )
    op.add_column("run_steps", sa.Column("compensation_error", sa.String(2000), nullable=True))
    op.add_column("run_steps", sa.Column("compensation_delayed_at", instant, nullable=True))
    op.create_index(
        "undos_that_may_be_delayed",
        "run_steps",
        ["compensation_started_at"],
        postgresql_where=sa.text("status = 'COMPENSATING' AND compensation_delayed_at IS NULL"),
    )

    op.add_column("resources", sa.Column("abandoned_at", instant, nullable=True))
    op.add_column("resources", sa.Column("abandoned_by_kind", sa.String(32), nullable=True))
    op.create_check_constraint("abandoner_kind_is_known", "resources", f"abandoned_by_kind IN ({ACTOR_KINDS})")
    op.add_column("resources", sa.Column("abandoned_by_id", sa.Uuid(), nullable=True))
    op.add_column("resources", sa.Column("absent_at", instant, nullable=True))
    op.create_index(
        "resources_abandoned_by_a_tenant",
        "resources",
        ["tenant_id"],
        postgresql_where=sa.text("status = 'ABANDONED' AND absent_at IS NULL"),
    )
    op.execute("GRANT UPDATE (abandoned_at, abandoned_by_kind, abandoned_by_id) ON resources TO tenantry_api")

    op.add_column(
        "absence_checks",
        sa.Column("found_abandoned", sa.ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'")),
    )

    op.execute(STUCK_RUNS)
    op.execute(STUCK_STEPS)
    op.execute(ABANDONED_RESOURCES)


def downgrade() -> None:
    op.execute("UPDATE runs SET error = stuck_error WHERE status = 'STUCK'")
    op.execute("UPDATE run_steps SET error = compensation_error WHERE status = 'COMPENSATION_FAILED'")
    op.drop_column("absence_checks", "found_abandoned")
    op.drop_index("resources_abandoned_by_a_tenant", "resources")
    for column in ("absent_at", "abandoned_by_id", "abandoned_by_kind", "abandoned_at"):
        op.drop_column("resources", column)
    op.drop_index("undos_that_may_be_delayed", "run_steps")
    for column in (
        "compensation_delayed_at",
        "compensation_error",
        "max_compensation_attempts",
        "compensation_timeout",
    ):
        op.drop_column("run_steps", column)
    for column in ("stuck_error", "stuck_step", "stuck_since", "error_code"):
        op.drop_column("runs", column)
