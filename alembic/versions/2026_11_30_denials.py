"""Denials: the table that counts the denied attempts of a caller, so that a loop of them does not fill the audit feed.

May run beside: the release before it, which writes an event for each denied attempt and does not use the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MINE = "actor_id = caller_id()"
OWN = f"organisation_id = caller_organisation() AND {MINE}"


def upgrade() -> None:
    op.create_table(
        "denials",
        sa.Column("organisation_id", sa.Uuid(), sa.ForeignKey("organisations.id"), primary_key=True),
        sa.Column("actor_id", sa.Uuid(), primary_key=True),
        sa.Column("action", sa.String(80), primary_key=True),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("repeated", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("denials_recorded_at_idx", "denials", ["recorded_at"])
    op.execute("ALTER TABLE denials ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY within_reach ON denials TO tenantry_api USING ({OWN}) WITH CHECK ({OWN})")
    op.execute(
        f"CREATE POLICY support_goes_on_record ON denials TO tenantry_support USING ({MINE}) WITH CHECK ({MINE})"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE (repeated, reason) ON denials TO tenantry_api, tenantry_support")


def downgrade() -> None:
    op.drop_table("denials")
