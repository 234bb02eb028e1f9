"""A resource of the ledger in the GraphQL schema."""

from datetime import datetime

import strawberry

from models import Resource as ResourceRow
from models import ResourceStatus
from schema.actor import Actor
from schema.described import described_type


@described_type
class Resource:
    """One row of the ledger: a resource outside Tenantry that a run has created or may have created.

    The row is written before the resource is created, so nothing that exists is missing.
    """

    kind: str = strawberry.field(
        description="postgres_role, postgres_schema, signing_key, admin_account, host_name or workload. More may be "
        "added."
    )
    name: str = strawberry.field(
        description="Name in the system that has the resource, derived from the tenant and the number of the run."
    )
    step: str = strawberry.field(description="Name of the step that creates it; its compensation releases it.")
    status: ResourceStatus = strawberry.field(
        description="INTENDED and HELD count as held; RELEASED and ABANDONED are final."
    )
    held_at: datetime | None = strawberry.field(
        description="When the step that created it was done; null before, and if the step was never done."
    )
    released_at: datetime | None = strawberry.field(
        description="When it was confirmed absent; null unless it is RELEASED."
    )

    abandoned_at: datetime | None = strawberry.field(
        description="When an operator skipped its release with resumeCompensation; null unless it is ABANDONED."
    )
    abandoned_by: Actor | None = strawberry.field(description="Who skipped its release; null unless it is ABANDONED.")
    abandoned_reason: str | None = strawberry.field(
        description="Why its release was skipped, in the words of that person; null unless it is ABANDONED."
    )
    absent_at: datetime | None = strawberry.field(
        description="For an ABANDONED resource: when an absence check did not find it any more. Null while it may "
        "still exist."
    )

    @classmethod
    def of(cls, row: ResourceRow) -> "Resource":
        """Convert a row."""
        return cls(
            kind=row.kind,
            name=row.name,
            step=row.step,
            status=row.status,
            held_at=row.held_at,
            released_at=row.released_at,
            abandoned_at=row.abandoned_at,
            abandoned_by=_abandoner(row),
            abandoned_reason=row.abandoned_reason,
            absent_at=row.absent_at,
        )


def _abandoner(row: ResourceRow) -> Actor | None:
    if row.abandoned_by is None or row.abandoned_by_kind is None or row.abandoned_by_id is None:
        return None
    return Actor.of(row.abandoned_by_kind, row.abandoned_by_id, row.abandoned_by)
