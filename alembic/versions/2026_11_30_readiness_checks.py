"""Readiness checks: add the table with the one row that they write.

May run beside: the release before it, which does not use it. No caller may read or write it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "readiness_checks",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("ALTER TABLE readiness_checks ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_table("readiness_checks")
