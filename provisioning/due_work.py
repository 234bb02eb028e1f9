"""The statement with which a sweeper finds out whether there is anything to do."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from provisioning import due_runs
from provisioning.decisions import BACKWARD, FORWARD
from provisioning.lost_workers import HELD_KEYS, MARK, WorkerLocks, lock_key
from provisioning.run_store import FULLY_COMPENSATED, NEEDS_WAKE_UP
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
        EXISTS (SELECT FROM runs WHERE due_at <= statement_timestamp() AND {FULLY_COMPENSATED}) AS ends,
        EXISTS (SELECT FROM runs WHERE {NEEDS_WAKE_UP} AND status <> ALL(%(backward)s)) AS forward,
        EXISTS (SELECT FROM runs WHERE {NEEDS_WAKE_UP} AND status = ANY(%(backward)s)) AS backward,
        EXISTS (
            SELECT FROM runs WHERE deadline_at <= statement_timestamp() AND finished_at IS NULL
                AND cancel_requested_at IS NULL AND status = ANY(%(forward)s)
        ) AS overdue,
        EXISTS (
            SELECT FROM run_steps WHERE compensation_started_at <= statement_timestamp() - %(undo_alarm)s
                AND status = 'COMPENSATING' AND compensated_at IS NULL AND compensation_delayed_at IS NULL
        ) AS delayed,
        ARRAY(SELECT id FROM runs WHERE status = 'STUCK' ORDER BY id LIMIT {due_runs.MAX_RUNS_PER_SWEEP}) AS stuck,
        (SELECT min(due_at) FROM runs WHERE due_at > statement_timestamp()) - statement_timestamp() AS next_due_in,
        ARRAY(SELECT owner FROM others WHERE {lock_key("owner")} NOT IN (TABLE held)) AS missing,
        CASE WHEN EXISTS (TABLE others) THEN {lock_key("%(own)s")} IN (TABLE held) END AS own_is_held
"""  # noqa: S608  # made of constants


@dataclass(frozen=True, slots=True)
class DueWork:
    """Which kinds of work there are.

    ``ends``: a run has no step left to compensate. ``forward``, ``backward``: a run is due for a step, or an undo, and
    its last wake-up is old or missing. ``overdue``: a run is past its deadline. ``delayed``: an undo takes longer than
    the alarm. ``stuck``: the runs that are STUCK.
    """

    ends: bool
    forward: bool
    backward: bool
    overdue: bool
    delayed: bool
    stuck: Collection[UUID]
    next_due_in: timedelta | None
    locks: WorkerLocks


def due_work(statements: Statements, own: str, lease: timedelta, undo_alarm: timedelta) -> DueWork:
    """What a sweeper has to do. ``own`` is the owner of the leases of its process.

    The locks of owners are compared while their leases end within ``lease``.
    """
    values = {
        "own": own,
        "lease": lease,
        "undo_alarm": undo_alarm,
        "lost_after": due_runs.REDISPATCH_AFTER,
        "forward": [status.value for status in FORWARD],
        "backward": [status.value for status in BACKWARD],
    }
    [(*found, missing, own_is_held)] = statements.rows(DUE_WORK, values)
    ends, forward, backward, overdue, delayed, stuck, next_due_in = found
    locks = WorkerLocks(missing, bool(own_is_held))
    return DueWork(ends, forward, backward, overdue, delayed, stuck, next_due_in, locks)
