"""A row of the ledger, as clients see it."""

from datetime import datetime

import strawberry

from models import Resource as ResourceRow
from models import ResourceStatus


@strawberry.type(description="One row of the ledger: something outside that a run took.")
class Resource:
    """A resource."""

    kind: str = strawberry.field(description="For example postgres_schema, signing_key, host_name, workload.")
    name: str = strawberry.field(description="Its name outside, derived from the tenant and the run.")
    step: str = strawberry.field(description="The step that takes it.")
    status: ResourceStatus = strawberry.field(description="What became of it.")
    held_at: datetime | None = strawberry.field(description="When it was taken.")
    released_at: datetime | None = strawberry.field(description="When it was confirmed absent.")

    @classmethod
    def of(cls, row: ResourceRow) -> "Resource":
        """What clients see of a row."""
        return cls(
            kind=row.kind,
            name=row.name,
            step=row.step,
            status=row.status,
            held_at=row.held_at,
            released_at=row.released_at,
        )
