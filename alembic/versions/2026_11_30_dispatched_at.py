"""Dispatched at: add the column to ``runs`` that replaces ``nudged_at``.

May run beside: the release before it, which still uses ``nudged_at``. Each release reads and writes its own column. The
value only prevents duplicate messages: while both releases run, a wake-up may be sent twice. The next release drops
``nudged_at`` (``models.columns.RETIRED_COLUMNS``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("runs", sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True))
    # The column is read only for runs that are due. There are few, found by the index runs_that_are_due.
    op.execute("UPDATE runs SET dispatched_at = nudged_at WHERE due_at IS NOT NULL")


def downgrade() -> None:
    op.execute("UPDATE runs SET nudged_at = dispatched_at WHERE due_at IS NOT NULL")
    op.drop_column("runs", "dispatched_at")
