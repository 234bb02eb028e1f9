"""Dispatched at: expand ``runs`` by the column that replaces ``nudged_at``.

May run beside: the release before it, which goes on with ``nudged_at``. Each release reads and writes its own column;
the value only spares doubled messages, so that difference costs a doubled message at most. The next release drops
``nudged_at`` (``models.columns.RETIRED_COLUMNS``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("runs", sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True))
    # Only runs that are due are asked for it: few, by the index runs_that_are_due.
    op.execute("UPDATE runs SET dispatched_at = nudged_at WHERE due_at IS NOT NULL")


def downgrade() -> None:
    op.execute("UPDATE runs SET nudged_at = dispatched_at WHERE due_at IS NOT NULL")
    op.drop_column("runs", "dispatched_at")
