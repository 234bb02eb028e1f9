"""The statements that write runs with their steps. Each has its name, its reason and its locks.

No other module writes them. A run changes in one way: ``run_reader`` reads its position, a function of ``transitions``
decides, and ``write`` writes the transition in one statement. It is guarded by the version of the run's row (``xmin``):
it writes nothing if anything else wrote the row after it was read. So no lock is held while a decision is made, and no
decision is made on old values.

Locks are taken in one order: the run, its steps and resources, its tenant. Only a group locks the tenants before the
steps, because it waits for no lock. A command that must not repeat its decision locks the run first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic_core import to_json

from models import (
    RunKind,
    RunStatus,
    StepRole,
    StepStatus,
)
from models.columns import new_id
from models.run import is_to_be_undone
from provisioning import run_reader
from provisioning.events import cancel_hint, feed_hint
from provisioning.lost_workers import HELD_KEYS, lock_key
from provisioning.moves import Backward, Forward
from provisioning.position import Position
from provisioning.transition import Transition
from provisioning.wakeups import WakeUp
from runtime.database import Statements


def _update(table: str, columns: Sequence[str], changes: str) -> str:
    """The beginning of an UPDATE of these columns. A column that ``changes`` (SQL, jsonb) does not name stays."""
    values = ", ".join(f"changed.{column}" for column in columns)
    return f"""UPDATE {table} SET ({", ".join(columns)}) = (
                SELECT {values} FROM jsonb_populate_record({table}, {changes}) AS changed
            )"""


def write(statements: Statements, transition: Transition) -> Position | None:
    """Write a transition. Returns the position after it; None, and nothing is written, if the run has changed since.

    Locks: the run, its steps and resources, its tenant. The wake-up is sent after the commit.
    """
    position = transition.position
    parts = _parts_of_any(transition) if statements.direct else _parts_of(transition)
    values = {
        "run_id": position.run.id,
        "revision": position.revision,
        "changes": _jsonb(_changes(transition)),
        "event_count": len(transition.events),
        "request_id": statements.request_id,
        "now": position.now,
    }
    rows = statements.rows(_write_statement(parts), values)
    return _written(statements, transition, rows[0][0] if rows else None)


def write_together(statements: Statements, batch: Sequence[Transition]) -> list[Position | None]:
    """Write transitions of different tenants in one statement. Returns the position after each, or None as ``write``.

    None also if another transaction has locked the run or the tenant: ``write`` waits for such a lock, and nothing else
    has to.
    """
    positions = [transition.position for transition in batch]
    values = {
        "run_ids": [position.run.id for position in positions],
        "tenant_ids": [position.tenant.id for position in positions],
        "batch": _jsonb([_document(transition) for transition in batch]),
        "request_id": statements.request_id,
    }
    revisions = dict(statements.rows(WRITE_TOGETHER, values))
    return [_written(statements, one, revisions.get(one.position.run.id)) for one in batch]


def _document(transition: Transition) -> dict[str, object]:
    position = transition.position
    _check_columns(transition)
    guard = {"id": position.run.id, "revision": position.revision, "now": position.now}
    return {**guard, **_changes(transition)}


def _written(statements: Statements, transition: Transition, revision: str | None) -> Position | None:
    """The position after a transition that was written, with its wake-up and hints in the outbox; None without one."""
    if revision is None:
        return None
    position = transition.position
    if transition.wake_up is not None:
        statements.outbox.append(WakeUp(position.run.id, transition.wake_up))
    if transition.interrupts_owner:
        statements.outbox.append(cancel_hint(position.run.id))
    if transition.events:
        statements.outbox.append(feed_hint(position.tenant.organisation_id, position.tenant.id))
    return position._replace(revision=revision)


CANCEL_COLUMNS = (
    "status",
    "due_at",
    "lease_token",
    "lease_until",
    "lease_owner",
    "cancel_requested_at",
    "cancel_actor_kind",
    "cancel_actor_id",
    "cancel_actor_name",
    "cancel_reason",
    "cancel_step_in_flight",
)

UNCHANGED = "runs.xmin = %(revision)s::xid"
"""The guard of every write: nothing else has written the run since its position was read. Postgres checks it again
after it has waited for the row's lock."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """The shape of a transition: which columns and tables it changes. Each shape has its own prepared statement."""

    run: tuple[str, ...]
    steps: tuple[str, ...]
    tenant: tuple[str, ...]
    ledger: tuple[str, ...]
    intended: bool
    events: bool


def _parts_of(transition: Transition) -> _Parts:
    """Only what changes: a caller's role has no rights on other columns."""
    return _Parts(
        tuple(transition.run),
        tuple(sorted({column for changes in transition.steps.values() for column in changes})),
        tuple(transition.tenant),
        tuple(sorted({column for changes in transition.ledger.values() for column in changes})),
        intended=bool(transition.intended),
        events=bool(transition.events),
    )


def _parts_of_any(transition: Transition) -> _Parts:
    """All that a transition of a worker may change: few shapes, so that each connection plans few statements."""
    _check_columns(transition)
    return replace(
        _parts_of(transition),
        run=RUN_COLUMNS_OF_WORKERS,
        steps=STEP_COLUMNS_OF_WORKERS,
        ledger=LEDGER_COLUMNS_OF_WORKERS,
        intended=True,
    )


def _check_columns(transition: Transition) -> None:
    """A statement for workers would leave out any other column."""
    for changes, columns in (
        ([transition.run], RUN_COLUMNS_OF_WORKERS),
        (transition.steps.values(), STEP_COLUMNS_OF_WORKERS),
        (transition.ledger.values(), LEDGER_COLUMNS_OF_WORKERS),
        ([transition.tenant], TENANT_COLUMNS_OF_WORKERS),
    ):
        assert all(set(columns).issuperset(each) for each in changes), changes


RUN_COLUMNS_OF_WORKERS = (
    "status",
    "due_at",
    "dispatched_at",
    "lease_token",
    "lease_until",
    "lease_owner",
    "failed_step",
    "error",
    "error_code",
    "stuck_since",
    "stuck_step",
    "stuck_error",
    "started_at",
    "finished_at",
)
STEP_COLUMNS_OF_WORKERS = (
    "status",
    "attempts",
    "compensation_attempts",
    "lost_workers",
    "parts_done",
    "percent",
    "message",
    "error",
    "compensation_error",
    "heartbeat_at",
    "attempt_started_at",
    "next_attempt_at",
    "started_at",
    "finished_at",
    "compensation_started_at",
    "compensated_at",
    "failing_since",
)
TENANT_COLUMNS_OF_WORKERS = ("state", "version", "updated_at")
LEDGER_COLUMNS_OF_WORKERS = ("status", "held_at", "released_at")


@lru_cache(500)
def _write_statement(parts: _Parts) -> str:
    """The statement that writes transitions of this shape. It names only columns that change: a role needs no others.

    Every part reads from ``written``, the row of the run: without it, nothing is written, and it is locked first.
    """
    ctes = [
        f"""written AS (
            {_update("runs", parts.run, "%(changes)s -> 'run'")}
            WHERE runs.id = %(run_id)s AND {UNCHANGED}
            RETURNING runs.id, runs.tenant_id, runs.organisation_id, runs.xmin::text AS revision,
                coalesce(runs.releases_run_id, runs.id) AS taker_id
        )"""
    ]
    if parts.steps:
        ctes.append(
            f"""steps AS (
            {_update("run_steps", parts.steps, "change.value")}
            FROM written, jsonb_each(%(changes)s -> 'steps') AS change
            WHERE run_steps.run_id = written.id AND run_steps.position = change.key::int
        )"""
        )
    if parts.intended:
        ctes.append(
            """intended AS (
            INSERT INTO resources (id, run_id, tenant_id, step, kind, name, status, intended_at)
            SELECT taken.id, written.taker_id, written.tenant_id, step, kind, name, 'INTENDED', %(now)s
            FROM written,
                jsonb_to_recordset(%(changes)s -> 'intended') AS taken(id uuid, step text, kind text, name text)
            ON CONFLICT ON CONSTRAINT a_run_takes_a_resource_once DO NOTHING
        )"""
        )
    if parts.ledger:
        ctes.append(
            f"""ledger AS (
            {_update("resources", parts.ledger, "change.value")}
            FROM written, jsonb_each(%(changes)s -> 'ledger') AS change
            WHERE resources.run_id = written.taker_id AND resources.id = change.key::uuid
        )"""
        )
    if parts.tenant or parts.events:
        ctes.append(_placed(parts.tenant))
    if parts.events:
        ctes.append(TOLD)
    return f"WITH {', '.join(ctes)} SELECT revision FROM written"


def _placed(columns: Sequence[str]) -> str:
    """The tenant, with the numbers of its new events taken: its row orders the events of one tenant."""
    # The version is counted in the row: a command may change other values of the tenant meanwhile.
    changes = "".join(
        f", {column} = {'tenants.version + 1' if column == 'version' else f'changed.{column}'}" for column in columns
    )
    values = ", jsonb_populate_record(NULL::tenants, %(changes)s -> 'tenant') AS changed" if columns else ""
    return f"""placed AS (
            UPDATE tenants SET last_sequence = tenants.last_sequence + %(event_count)s,
                last_rank = greatest(tenants.last_rank, pg_current_xact_id()::text::bigint){changes}
            FROM written{values}
            WHERE tenants.id = written.tenant_id
            RETURNING tenants.id AS tenant_id, tenants.organisation_id, tenants.last_sequence, tenants.last_rank
        )"""


EVENT_COLUMNS = """
                id uuid, number int, type text, actor_kind text, actor_id uuid, actor_name text, actor_email text,
                data jsonb
"""

TOLD = f"""told AS (
            INSERT INTO events (
                id, organisation_id, tenant_id, run_id, sequence, rank, type,
                actor_kind, actor_id, actor_name, actor_email, data, request_id, created_at
            )
            SELECT new.id, organisation_id, tenant_id, %(run_id)s, last_sequence - %(event_count)s + number, last_rank,
                type, actor_kind, actor_id, actor_name, actor_email, data, %(request_id)s, %(now)s
            FROM placed, jsonb_to_recordset(%(changes)s -> 'events') AS new({EVENT_COLUMNS})
            ORDER BY number
        )"""


WRITE_TOGETHER = f"""
-- What ``write`` does, for runs of different tenants: one commit, and one start of the executor, for all of them.
-- Locks: the runs that are free with their tenants, their steps and resources. It waits for no lock of another one: a
-- run is left out if it is locked, or its tenant.
WITH given AS MATERIALIZED (
    SELECT (document ->> 'id')::uuid AS id, (document ->> 'revision')::xid AS revision,
        (document ->> 'now')::timestamptz AS now, document
    FROM jsonb_array_elements(%(batch)s) AS document
), free AS MATERIALIZED (
    SELECT runs.id FROM runs JOIN given ON given.id = runs.id JOIN tenants ON tenants.id = runs.tenant_id
    WHERE runs.id = ANY(%(run_ids)s) AND runs.xmin = given.revision
    FOR NO KEY UPDATE OF runs, tenants SKIP LOCKED
), written AS (
    {_update("runs", RUN_COLUMNS_OF_WORKERS, "given.document -> 'run'")}
    FROM free JOIN given ON given.id = free.id
    WHERE runs.id = ANY(%(run_ids)s) AND runs.id = free.id AND runs.xmin = given.revision
    RETURNING runs.id, runs.tenant_id, runs.organisation_id, runs.xmin::text AS revision,
        coalesce(runs.releases_run_id, runs.id) AS taker_id, given.now, given.document
), steps AS (
    {_update("run_steps", STEP_COLUMNS_OF_WORKERS, "change.value")}
    FROM written, jsonb_each(written.document -> 'steps') AS change
    WHERE run_steps.run_id = ANY(%(run_ids)s)
        AND run_steps.run_id = written.id AND run_steps.position = change.key::int
), intended AS (
    INSERT INTO resources (id, run_id, tenant_id, step, kind, name, status, intended_at)
    SELECT taken.id, written.taker_id, written.tenant_id, step, kind, name, 'INTENDED', written.now
    FROM written, jsonb_to_recordset(written.document -> 'intended') AS taken(id uuid, step text, kind text, name text)
    ON CONFLICT ON CONSTRAINT a_run_takes_a_resource_once DO NOTHING
), ledger AS (
    {_update("resources", LEDGER_COLUMNS_OF_WORKERS, "change.value")}
    FROM written, jsonb_each(written.document -> 'ledger') AS change
    WHERE resources.id = change.key::uuid AND resources.run_id = written.taker_id
), placed AS (
    UPDATE tenants SET last_sequence = tenants.last_sequence + jsonb_array_length(written.document -> 'events'),
        last_rank = greatest(tenants.last_rank, pg_current_xact_id()::text::bigint),
        state = coalesce(written.document #>> '{{tenant,state}}', tenants.state),
        version = tenants.version + (written.document -> 'tenant' ? 'version')::int,
        updated_at = coalesce((written.document #>> '{{tenant,updated_at}}')::timestamptz, tenants.updated_at)
    FROM written
    WHERE tenants.id = ANY(%(tenant_ids)s) AND tenants.id = written.tenant_id
        AND (jsonb_array_length(written.document -> 'events') > 0 OR written.document -> 'tenant' <> '{{}}')
    RETURNING tenants.id AS tenant_id, tenants.organisation_id, tenants.last_rank, written.id AS run_id, written.now,
        tenants.last_sequence - jsonb_array_length(written.document -> 'events') AS before,
        written.document -> 'events' AS events
), told AS (
    INSERT INTO events (
        id, organisation_id, tenant_id, run_id, sequence, rank, type,
        actor_kind, actor_id, actor_name, actor_email, data, request_id, created_at
    )
    SELECT new.id, organisation_id, tenant_id, run_id, before + number, last_rank,
        type, actor_kind, actor_id, actor_name, actor_email, data, %(request_id)s, now
    FROM placed, jsonb_to_recordset(placed.events) AS new({EVENT_COLUMNS})
    ORDER BY run_id, number
)
SELECT id, revision FROM written
"""


def _changes(transition: Transition) -> dict[str, object]:
    """What to write, as one document: the statement reads each part by its name."""
    return {
        "run": transition.run,
        "steps": transition.steps,
        "tenant": transition.tenant,
        "intended": [resource._asdict() for resource in transition.intended],
        "ledger": {str(id_): changes for id_, changes in transition.ledger.items()},
        "events": _events(transition),
    }


def _events(transition: Transition) -> list[dict[str, object]]:
    return [
        {
            "id": new_id(),
            "number": number,
            "type": event.type,
            "actor_kind": event.by.kind,
            "actor_id": event.by.id,
            "actor_name": event.by.name,
            "actor_email": event.by.email,
            "data": event.data,
        }
        for number, event in enumerate(transition.events, start=1)
    ]


def _jsonb(value: object) -> Jsonb:
    """One document for all statements. Postgres reads times and intervals of ISO 8601, and any other value as text."""
    return Jsonb(value, _dumps)


def _dumps(value: object) -> bytes:
    return to_json(value, timedelta_mode="iso8601", fallback=str)


WRITE_CANCELS = f"""
-- The cancel requests of many runs, which the caller has locked: one statement for all of them.
-- Locks: the runs, which are locked.
WITH written AS (
    {_update("runs", CANCEL_COLUMNS, "requested.changes")}
    FROM jsonb_to_recordset(%(requested)s) AS requested(id uuid, revision text, changes jsonb)
    WHERE runs.id = requested.id AND runs.id = ANY(%(run_ids)s) AND runs.xmin::text = requested.revision
    RETURNING runs.id, runs.lease_token IS NOT NULL AS owned
)
SELECT id, owned FROM written
"""


def write_cancels(statements: Statements, requested: Sequence[Transition]) -> None:
    """Write the runs of these cancel requests, and tell the workers that own one. The caller appends the events."""
    values = [{"id": one.position.run.id, "revision": one.position.revision, "changes": one.run} for one in requested]
    run_ids = [one.position.run.id for one in requested]
    written = statements.rows(WRITE_CANCELS, {"requested": _jsonb(values), "run_ids": run_ids})
    statements.outbox.extend(cancel_hint(run_id) for run_id, owned in written if owned)
    assert len(written) == len(requested), "the runs are locked, so nothing else has written them"


# A new run


NEW_RUN_COLUMNS = (
    "id, organisation_id, tenant_id, number, address, kind, status, releases_run_id, started_by_kind, started_by_id,"
    " started_by_name, due_at, dispatched_at, deadline_at, started_at, created_at"
)
NEXT_NUMBER = "coalesce((SELECT max(number) FROM runs WHERE tenant_id = new.tenant_id), 0) + 1"
INSERT_RUN = f"""
-- The next run of a tenant, which the caller has locked.
-- Locks: none but the new row.
INSERT INTO runs ({NEW_RUN_COLUMNS})
SELECT {NEW_RUN_COLUMNS.replace("number", NEXT_NUMBER)}
FROM jsonb_populate_record(NULL::runs, %(run)s) AS new
RETURNING number
"""

NEW_STEP_COLUMNS = (
    "run_id, position, name, title, role, status, interruptible, timeout, max_attempts, compensation_timeout,"
    " max_compensation_attempts, compensation_time_limit"
)
INSERT_STEPS = f"""
-- All steps of a new run. A statement of its own, because row-level security looks for the run.
-- Locks: none but the new rows.
INSERT INTO run_steps ({NEW_STEP_COLUMNS}, attempts, compensation_attempts)
SELECT {NEW_STEP_COLUMNS}, 0, 0 FROM jsonb_populate_recordset(NULL::run_steps, %(steps)s)
RETURNING position
"""


def insert(
    statements: Statements,
    run: Mapping[str, object],
    steps: Sequence[Mapping[str, object]],
    wake_up: Forward | Backward,
) -> int:
    """Insert a run with its steps, and announce its first move. Returns the number of the run."""
    [(number,)] = statements.rows(INSERT_RUN, {"run": _jsonb(run)})
    statements.rows(INSERT_STEPS, {"steps": _jsonb([{"run_id": run["id"], **step} for step in steps])})
    statements.outbox.append(WakeUp(cast("UUID", run["id"]), wake_up))
    return int(number)


# What a worker writes while it performs a move


PUBLISH_PROGRESS = """
-- The progress of a step, for people that watch. Written only by the owner: after another claim, nothing is written.
-- Locks: the run, so that the owner cannot change meanwhile.
WITH owned AS (
    SELECT id, tenant_id, organisation_id FROM runs
    WHERE id = %(run_id)s AND lease_token = %(token)s FOR NO KEY UPDATE
), written AS (
    UPDATE run_steps SET percent = %(percent)s, message = %(message)s FROM owned
    WHERE run_steps.run_id = owned.id AND run_steps.name = %(step)s
)
SELECT organisation_id, tenant_id FROM owned
"""


def publish_progress(
    statements: Statements, run_id: UUID, token: UUID, step: str, percent: int | None, message: str
) -> None:
    """Publish the progress of a step. Does nothing if the claim was lost."""
    values = {"run_id": run_id, "token": token, "step": step, "percent": percent, "message": message}
    for organisation_id, tenant_id in statements.rows(PUBLISH_PROGRESS, values):
        statements.outbox.append(feed_hint(organisation_id, tenant_id, "progress"))


RENEW = """
-- The leases that a worker still owns. A run that another transaction has locked is not extended, only reported:
-- waiting for its lock could let the other leases lapse.
-- Locks: the runs that are free.
WITH own AS (
    SELECT * FROM unnest(%(run_ids)s::uuid[], %(tokens)s::uuid[]) AS own(id, token)
), free AS (
    SELECT runs.id FROM runs JOIN own ON own.id = runs.id AND own.token = runs.lease_token
    FOR NO KEY UPDATE OF runs SKIP LOCKED
), extended AS (
    UPDATE runs SET lease_until = statement_timestamp() + %(lease)s, due_at = statement_timestamp() + %(lease)s
    FROM free WHERE runs.id = free.id
    RETURNING runs.id
), beaten AS (
    UPDATE run_steps SET heartbeat_at = clock_timestamp() FROM extended
    WHERE run_steps.run_id = extended.id AND run_steps.status IN ('RUNNING', 'COMPENSATING')
)
SELECT runs.id, runs.status = 'CANCELLING', EXISTS (SELECT FROM extended WHERE extended.id = runs.id)
FROM runs JOIN own ON own.id = runs.id AND own.token = runs.lease_token
"""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The result of a heartbeat for a run that the worker still owns.

    ``cancelled``: a cancel was requested. ``extended``: the lease was extended.
    """

    run_id: UUID
    cancelled: bool
    extended: bool


def renew(statements: Statements, tokens: Mapping[UUID, UUID], lease: timedelta) -> list[Renewal]:
    """Extend the leases with these tokens, by run. A run that is missing in the result was lost."""
    values = {"run_ids": list(tokens), "tokens": list(tokens.values()), "lease": lease}
    return [Renewal(*row) for row in statements.rows(RENEW, values)]


WITH_CANCEL = """
-- Which of the named runs have a cancel on record. The row decides: a message that names a run may be forged.
-- Locks: none.
SELECT id FROM runs WHERE id = ANY(%(run_ids)s) AND cancel_requested_at IS NOT NULL AND finished_at IS NULL
"""


def with_cancel(statements: Statements, run_ids: Collection[UUID]) -> list[UUID]:
    """Those of these runs that have a cancel on record and have not ended."""
    return [run_id for (run_id,) in statements.rows(WITH_CANCEL, {"run_ids": list(run_ids)})]


# What a sweeper writes


END_LEASES = f"""
-- The leases of an owner that holds no session lock. Its runs become due, as if the leases had expired, and the
-- attempts count. The tokens stay: an owner that lives after all extends a lease again with its next renewal, unless
-- another worker has claimed the run with a new token.
-- Locks: these runs, except those that another transaction has locked: its owner, or who claims it, is writing it.
UPDATE runs SET lease_until = statement_timestamp(), due_at = statement_timestamp()
WHERE id IN (
    SELECT id FROM runs
    WHERE due_at > statement_timestamp() AND lease_until > statement_timestamp() AND lease_owner = %(owner)s
    FOR NO KEY UPDATE SKIP LOCKED
) AND {lock_key("%(owner)s")} NOT IN ({HELD_KEYS})
RETURNING id
"""


def end_leases(statements: Statements, owner: str) -> int:
    """End the leases of a worker that is lost. Returns how many."""
    return len(statements.rows(END_LEASES, {"owner": owner}))


FULLY_COMPENSATED = """(runs.status IN ('CANCELLING', 'COMPENSATING') AND NOT EXISTS (
        SELECT FROM run_steps WHERE run_id = runs.id
            AND role NOT IN ('AFTERWARDS', 'CONFIRMATION') AND status NOT IN ('WAITING', 'COMPENSATED', 'ABANDONED')
    ))"""
"""A run that is being compensated and has no step left to compensate: it can end."""

NEEDS_WAKE_UP = """(runs.due_at <= statement_timestamp() AND (
        runs.dispatched_at IS NULL OR runs.dispatched_at < runs.due_at
        OR runs.dispatched_at < statement_timestamp() - %(lost_after)s
    ))"""
"""A due run without a wake-up since it became due, or whose wake-up counts as lost."""

DISPATCH = f"""
-- Due runs that need a wake-up.
-- Locks: these runs, except those that another transaction has locked.
WITH due AS (
    SELECT id FROM runs
    WHERE {NEEDS_WAKE_UP} AND status = ANY(%(statuses)s) AND NOT {FULLY_COMPENSATED}
    ORDER BY due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE runs SET dispatched_at = clock_timestamp() FROM due WHERE runs.id = due.id
RETURNING runs.id, runs.kind, runs.status, runs.cancel_requested_at IS NOT NULL, (
    SELECT json_agg(json_build_array(name, role, run_steps.status) ORDER BY run_steps.position)
    FROM run_steps WHERE run_id = runs.id
)
"""


@dataclass(frozen=True, slots=True)
class DispatchedRun:
    """What decides the next move of a run, without the rest of its position."""

    id: UUID
    kind: RunKind
    status: RunStatus
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class DispatchedStep:
    """What decides whether a step is the next move."""

    name: str
    role: StepRole
    status: StepStatus

    @property
    def to_be_undone(self) -> bool:
        """Whether compensating the run includes this step."""
        return is_to_be_undone(self.role, self.status)


def dispatch(
    statements: Statements, statuses: Collection[RunStatus], lost_after: timedelta, limit: int
) -> list[tuple[DispatchedRun, list[DispatchedStep]]]:
    """Mark due runs as dispatched, and return them. A wake-up counts as lost after ``lost_after``."""
    values = {"statuses": list(statuses), "lost_after": lost_after, "limit": limit}
    return [
        (
            DispatchedRun(id_, RunKind(kind), RunStatus(status), cancelled),
            [DispatchedStep(name, StepRole(role), StepStatus(at)) for name, role, at in steps],
        )
        for id_, kind, status, cancelled, steps in statements.rows(DISPATCH, values)
    ]


DUE_TO_END = f"""
-- Due runs that have no step left to compensate: they need no worker and no broker to end.
-- Locks: these runs, except those that another transaction has locked.
SELECT id FROM runs WHERE due_at <= clock_timestamp() AND {FULLY_COMPENSATED}
ORDER BY due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""


def due_to_end(statements: Statements, limit: int) -> list[Position]:
    """The positions of due runs that have no step left to compensate, locked."""
    ids = [row[0] for row in statements.rows(DUE_TO_END, {"limit": limit})]
    return run_reader.read_each(statements, ids) if ids else []


MARK_DELAYED = """
-- An undo that takes longer than the alarm, once for each undo.
-- Locks: the run, unless another transaction has locked it: then the next sweep marks it.
WITH free AS (
    SELECT id, tenant_id FROM runs WHERE id = %(run_id)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE run_steps SET compensation_delayed_at = clock_timestamp() FROM free
WHERE run_steps.run_id = free.id AND run_steps.status = 'COMPENSATING' AND compensation_delayed_at IS NULL
    AND compensation_started_at <= clock_timestamp() - %(alarm)s
RETURNING free.tenant_id, name, compensation_attempts, max_compensation_attempts, compensation_started_at, message,
    compensation_error, compensation_delayed_at
"""


def mark_delayed(statements: Statements, run_id: UUID, alarm: timedelta) -> tuple[Any, ...] | None:
    """Mark the undo of a run that takes longer than ``alarm``. Returns its facts; None if there is nothing to mark."""
    rows = statements.rows(MARK_DELAYED, {"run_id": run_id, "alarm": alarm})
    return rows[0] if rows else None
