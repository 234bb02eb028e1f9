"""Planned triggers: functions that check each row that a caller writes plan their queries once, not for each row.

May run beside: the release before it, which only gets faster.
"""

from alembic import op

revision = "0017"
down_revision = "0016"

FUNCTIONS = ("set_author_of_event()", "set_place_of_event()", "refuse_to_end_while_resources_are_held()")
"""Otherwise Postgres plans for the values of each row. That took four fifths of the time of the first two."""


def upgrade() -> None:
    """Pin the plans."""
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function} SET plan_cache_mode = 'force_generic_plan'")


def downgrade() -> None:
    """Let Postgres choose."""
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function} RESET plan_cache_mode")
