"""The statement with which a sweeper finds out whether there is anything to do."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from provisioning.decisions import FORWARD
from provisioning.due_runs import MAX_RUNS_PER_SWEEP
from provisioning.lost_workers import HELD_KEYS, MARK, WorkerLocks, lock_key
from runtime.database import Statements

DUE_WORK = f"""
    -- One statement for an idle sweep. Times are those of the statement, so that the partial indexes are used:
    -- runs_that_are_due, runs_with_a_deadline, undos_in_progress, runs_that_are_stuck.
    -- Locks: none. The locks of workers are read only while other workers have leases.
    WITH others AS MATERIALIZED (
        SELECT DISTINCT lease_owner AS owner FROM runs
        WHERE due_at > statement_timestamp() AND due_at <= statement_timestamp() + %(lease)s
          AND lease_until > statement_timestamp() AND lease_owner LIKE '%{MARK}%' AND lease_owner <> %(own)s
    ), held AS MATERIALIZED ({HELD_KEYS})
    SELECT
        EXISTS (SELECT FROM runs WHERE due_at <= statement_timestamp())
        OR EXISTS (
            SELECT FROM runs WHERE deadline_at <= statement_timestamp() AND finished_at IS NULL
                AND cancel_requested_at IS NULL AND status = ANY(%(forward)s)
        )
        OR EXISTS (
            SELECT FROM run_steps WHERE compensation_started_at <= statement_timestamp() - %(undo_alarm)s
                AND status = 'COMPENSATING' AND compensated_at IS NULL AND compensation_delayed_at IS NULL
        ) AS is_due,
        ARRAY(SELECT id FROM runs WHERE status = 'STUCK' ORDER BY id LIMIT {MAX_RUNS_PER_SWEEP}) AS stuck,
        (SELECT min(due_at) FROM runs WHERE due_at > statement_timestamp()) - statement_timestamp() AS next_due_in,
        ARRAY(SELECT owner FROM others WHERE {lock_key("owner")} NOT IN (TABLE held)) AS missing,
        CASE WHEN EXISTS (TABLE others) THEN {lock_key("%(own)s")} IN (TABLE held) END AS own_is_held
"""  # noqa: S608  # made of constants


@dataclass(frozen=True, slots=True)
class DueWork:
    """``is_due``: a run is due or past its deadline, or an undo is delayed. ``stuck``: the runs that are STUCK."""

    is_due: bool
    stuck: Collection[UUID]
    next_due_in: timedelta | None
    locks: WorkerLocks


def due_work(statements: Statements, own: str, lease: timedelta, undo_alarm: timedelta) -> DueWork:
    """What a sweeper has to do. ``own`` is the owner of the leases of its process.

    The locks of owners are compared while their leases end within ``lease``.
    """
    values = {"own": own, "lease": lease, "undo_alarm": undo_alarm, "forward": [status.value for status in FORWARD]}
    [(is_due, stuck, next_due_in, missing, own_is_held)] = statements.rows(DUE_WORK, values)
    return DueWork(is_due, stuck, next_due_in, WorkerLocks(missing, bool(own_is_held)))
