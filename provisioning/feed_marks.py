"""Marks of what a process watches: a mark differs once a tenant or an organisation has something new to read."""

from collections.abc import Collection, Mapping
from uuid import UUID

from runtime.database import Statements

READ_MARKS = """
-- One statement for everything that a process watches, by primary keys and by the index feed_of_an_organisation.
-- A tenant has something new with each event, and with the progress and the heartbeats of its step in flight. An
-- organisation has no mark while a transaction may still commit an event before its newest one.
-- Locks: none.
SELECT tenants.id, concat_ws(' ', tenants.last_sequence, tenants.last_rank, (
    SELECT string_agg(concat_ws(' ', run_steps.position, run_steps.status, percent, message, heartbeat_at), ',')
    FROM runs JOIN run_steps ON run_steps.run_id = runs.id
    WHERE runs.tenant_id = tenants.id AND runs.finished_at IS NULL
        AND run_steps.status IN ('RUNNING', 'COMPENSATING')
))
FROM tenants WHERE tenants.id = ANY(%(ids)s)
UNION ALL
SELECT organisations.id, (
    SELECT CASE
        WHEN rank < pg_snapshot_xmin(pg_current_snapshot())::text::bigint THEN concat_ws(' ', rank, position)
    END
    FROM events
    WHERE events.organisation_id = organisations.id ORDER BY rank DESC, position DESC LIMIT 1
)
FROM organisations WHERE organisations.id = ANY(%(ids)s)
"""


def read_marks(statements: Statements, ids: Collection[UUID]) -> Mapping[str, str | None]:
    """The mark of each of these tenants and organisations, by its id. None: there may be something new to read."""
    return {str(id_): mark for id_, mark in statements.rows(READ_MARKS, {"ids": list(ids)})}
