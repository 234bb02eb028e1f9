"""Reads the positions of runs, each at one moment."""

import random
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from models import ActorKind, ResourceStatus, RunErrorCode, RunKind, RunStatus, StepRole, StepStatus, TenantState
from provisioning.position import Position, ResourceValues, RunValues, StepValues, TenantValues
from provisioning.resource_names import ResourceNames
from runtime.database import Statements

STEP_COLUMNS = list(StepValues._fields)
INTERVALS = ("timeout", "compensation_timeout", "compensation_time_limit")
RUN_COLUMNS = list(RunValues._fields)
TENANT_COLUMNS = list(TenantValues._fields)

_TENANT_VALUES = ", ".join(
    "organisations.slug" if column == "organisation_slug" else f"tenants.{column}" for column in TENANT_COLUMNS
)
_STEP_VALUES = ", ".join(f"extract(epoch FROM {column})" if column in INTERVALS else column for column in STEP_COLUMNS)


FROM_RUNS = """FROM runs
JOIN tenants ON tenants.id = runs.tenant_id
JOIN organisations ON organisations.id = tenants.organisation_id
LEFT JOIN runs AS released ON released.id = runs.releases_run_id
WHERE runs.id = ANY(%(run_ids)s)
ORDER BY runs.tenant_id
"""
_VALUES = f"""runs.xmin::text, clock_timestamp(), {", ".join(f"runs.{column}" for column in RUN_COLUMNS)},
    {_TENANT_VALUES},
    coalesce(released.address, runs.address), coalesce(released.number, runs.number)"""
_STEPS = f"SELECT json_agg(json_build_array({_STEP_VALUES}) ORDER BY position) FROM run_steps WHERE run_id = runs.id"

READ = f"""
-- Everything that a transition reads, at one moment: a single statement sees one snapshot.
-- Locks: none.
SELECT {_VALUES},
    ({_STEPS}),
    (SELECT json_agg(json_build_array(id, step, kind, resources.name, resources.status) ORDER BY id)
        FROM resources WHERE run_id = coalesce(runs.releases_run_id, runs.id)),
    (SELECT json_agg(json_build_object('kind', resources.kind, 'name', resources.name, 'step', step,
            'run_number', taker.number, 'by', abandoned_by, 'at', abandoned_at, 'reason', abandoned_reason
        ) ORDER BY resources.id)
        FROM resources JOIN runs AS taker ON taker.id = resources.run_id
        WHERE resources.tenant_id = tenants.id AND resources.status = 'ABANDONED' AND absent_at IS NULL)
{FROM_RUNS}"""

READ_FOR_MANY_CANCELS = f"""
-- What the cancel of many runs reads: the run, and the step in flight. The undo is left to the workers.
-- Locks: none.
SELECT {_VALUES},
    ({_STEPS} AND run_steps.status = 'RUNNING'),
    NULL, NULL
{FROM_RUNS}"""

LOCK = """
-- Before READ, where the decision must not be repeated. A statement of its own: what it waits for is visible to READ.
-- Locks: the runs, in the order of their tenants.
SELECT id FROM runs WHERE id = ANY(%(run_ids)s) ORDER BY tenant_id FOR NO KEY UPDATE
"""


def read(statements: Statements, run_id: UUID, *, lock: bool = False) -> Position | None:
    """The position of a run now. None if there is no such run."""
    positions = read_each(statements, [run_id], lock=lock)
    return positions[0] if positions else None


def read_each(statements: Statements, run_ids: Collection[UUID], *, lock: bool = False) -> list[Position]:
    """The positions of these runs, in the order of their tenants. With ``lock``, the runs stay locked."""
    values = {"run_ids": list(run_ids)}
    if lock:
        statements.rows(LOCK, values)
    return [_position_of(row) for row in statements.rows(READ, values)]


def read_for_cancels(statements: Statements, run_ids: Collection[UUID]) -> list[Position]:
    """The positions of these runs without their ledger, and with no other step than the one in flight."""
    return [_position_of(row) for row in statements.rows(READ_FOR_MANY_CANCELS, {"run_ids": list(run_ids)})]


def _position_of(row: Sequence[Any]) -> Position:
    width = 2 + len(RUN_COLUMNS)
    revision, now, *run = row[:width]
    tenant, (address, number, steps, resources, left_behind) = row[width:-5], row[-5:]
    values = [_step(step) for step in steps or ()]
    return Position(
        revision=revision,
        now=now,
        jitter=random.uniform(0.8, 1.2),  # noqa: S311  # spreads load, guards nothing
        run=_run(run),
        steps=MappingProxyType({step.name: step for step in values}),
        tenant=_tenant(tenant),
        names=ResourceNames(tenant[0], address, number),
        resources=tuple(
            ResourceValues(UUID(id_), step, kind, name, ResourceStatus(status))
            for id_, step, kind, name, status in resources or ()
        ),
        left_behind=tuple(left_behind or ()),
    )


def _tenant(row: Sequence[Any]) -> TenantValues:
    values = dict(zip(TENANT_COLUMNS, row, strict=True))
    return TenantValues(**{**values, "state": TenantState(values["state"])})


def _run(row: Sequence[Any]) -> RunValues:
    values = dict(zip(RUN_COLUMNS, row, strict=True))
    values["kind"], values["status"] = RunKind(values["kind"]), RunStatus(values["status"])
    if values["cancel_actor_kind"] is not None:
        values["cancel_actor_kind"] = ActorKind(values["cancel_actor_kind"])
    if values["error_code"] is not None:
        values["error_code"] = RunErrorCode(values["error_code"])
    return RunValues(**values)


def _step(row: Sequence[Any]) -> StepValues:
    values = [
        value if value is None or decode is None else decode(value)
        for decode, value in zip(STEP_DECODERS, row, strict=True)
    ]
    return StepValues(*values)


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


STEP_DECODERS: list[Callable[[Any], Any] | None] = [
    {"role": StepRole, "status": StepStatus}.get(
        column,
        _seconds if column in INTERVALS else datetime.fromisoformat if column.endswith(("_at", "_since")) else None,
    )
    for column in STEP_COLUMNS
]
