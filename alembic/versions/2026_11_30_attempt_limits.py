"""Attempt limits: bound the attempts of an undo by time, count its lost workers, and remember finished parts of a step.

May run beside: the release before it. It writes none of the columns. Where ``compensation_time_limit`` is empty, as in
the runs that it plans, attempts are bounded by their number only. An undo that it performs counts no lost workers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

COLUMNS = ("compensation_time_limit", "lost_workers", "parts_done", "failing_since")


def upgrade() -> None:
    op.add_column("run_steps", sa.Column("compensation_time_limit", sa.Interval(), nullable=True))
    op.add_column("run_steps", sa.Column("lost_workers", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run_steps", sa.Column("parts_done", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run_steps", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("run_steps", column)
