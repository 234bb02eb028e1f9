"""The abandoned resources of the ledger. ``transitions`` decides about all others, and ``run_store`` writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from models import AbsenceCheck, Resource, Run
from runtime.database import Statements


def run_that_took(run: Run) -> UUID:
    """The run that took the resources: this run or, for a decommission, the run that it releases."""
    return run.releases_run_id or run.id


def left_behind(session: Session, tenant_id: UUID) -> list[dict[str, Any]]:
    """What operators abandoned in any run of the tenant and may still exist, with who, when and why, for the feed."""
    rows = session.execute(
        select(Resource, Run.number)
        .join(Run, col(Run.id) == col(Resource.run_id))
        .where(Resource.tenant_id == tenant_id, Resource.is_left_behind())
        .order_by(col(Resource.id))
    )
    return [
        {
            "kind": resource.kind,
            "name": resource.name,
            "step": resource.step,
            "run_number": number,
            "by": resource.abandoned_by,
            "at": resource.abandoned_at.astimezone(UTC).isoformat() if resource.abandoned_at else None,
            "reason": resource.abandoned_reason,
        }
        for resource, number in rows
    ]


RECORD_ABSENCE_CHECK = """
-- What an absence check found, and whether a probe that every adapter answered found what was abandoned. Written only
-- by the owner of the run.
-- Locks: the run, so that the owner cannot change meanwhile, and its abandoned resources.
WITH owned AS (
    SELECT id, coalesce(releases_run_id, id) AS taker_id FROM runs
    WHERE id = %(run_id)s AND lease_token = %(token)s FOR NO KEY UPDATE
), checked AS (
    INSERT INTO absence_checks (id, run_id, asked_at, found, found_abandoned)
    SELECT %(id)s, id, clock_timestamp(), %(found)s::text[], %(found_abandoned)s::text[] FROM owned
    ON CONFLICT (id) DO NOTHING
    RETURNING asked_at
), absent AS (
    UPDATE resources
    SET absent_at = CASE WHEN name <> ALL(%(found_abandoned)s::text[]) THEN coalesce(absent_at, checked.asked_at) END
    FROM owned, checked
    WHERE %(complete)s AND resources.run_id = owned.taker_id AND resources.status = 'ABANDONED'
)
SELECT (SELECT count(*) FROM absence_checks WHERE run_id = owned.id AND id <> %(id)s),
    (SELECT found FROM absence_checks WHERE run_id = owned.id AND id <> %(id)s ORDER BY id DESC LIMIT 1),
    EXISTS (SELECT FROM checked)
FROM owned
"""


@dataclass(frozen=True, slots=True)
class EarlierChecks:
    """The absence checks of a run before one: how many, and what the last of them found, if there is one.

    ``recorded`` is False if the one itself was on record: the response was lost, and this is the second try.
    """

    number: int
    found: Sequence[str] | None
    recorded: bool


def record_absence_check(
    statements: Statements, check: AbsenceCheck, token: UUID, *, complete: bool
) -> EarlierChecks | None:
    """Record what an absence check found. Returns the checks before it; None, and nothing is recorded, without a claim.

    ``complete``: every adapter answered. Safe to repeat when its response was lost, with the same check.
    """
    values = {
        "id": check.id,
        "run_id": check.run_id,
        "token": token,
        "found": check.found,
        "found_abandoned": check.found_abandoned,
        "complete": complete,
    }
    rows = statements.rows(RECORD_ABSENCE_CHECK, values)
    return EarlierChecks(*rows[0]) if rows else None
