"""Anchors: add the functions with which a reader of the feed notices that the database was restored.

May run beside: the release before it, which does not call them.

``has_event`` says whether an event exists, also when its caller cannot see it: a service account that was limited to
other tenants since it received a cursor must not take that for a restored database. Its argument is a random id that
the caller already has. ``newest_event`` returns the id of the newest event of any organisation, and nothing else of it.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

FUNCTIONS = """
CREATE FUNCTION has_event(wanted uuid, of_rank bigint, of_position bigint, of_sequence bigint) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM events
        WHERE id = wanted
            AND (of_rank IS NULL OR rank = of_rank)
            AND (of_position IS NULL OR position = of_position)
            AND (of_sequence IS NULL OR sequence = of_sequence)
    );
END;

CREATE FUNCTION newest_event() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
    SELECT id FROM events ORDER BY id DESC LIMIT 1;
END;

REVOKE EXECUTE ON FUNCTION has_event, newest_event FROM PUBLIC;
GRANT EXECUTE ON FUNCTION has_event, newest_event TO tenantry_api, tenantry_limited, tenantry_support;
"""


def upgrade() -> None:
    op.execute(FUNCTIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION has_event, newest_event")
