"""A run in the GraphQL schema."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import strawberry

from models import UNDONE_STATUSES, Run, RunErrorCode, RunKind, RunStatus
from provisioning import ledger
from provisioning.pagination import Page
from schema import tenant as tenants
from schema import timeline as timelines
from schema.absence_check import AbsenceCheck
from schema.actor import Actor
from schema.context import Info
from schema.described import described_field, described_type
from schema.node import Node, global_id
from schema.pagination import (
    EDGES,
    PAGE_INFO,
    After,
    Before,
    Cursors,
    Edge,
    First,
    Last,
    PageInfo,
    given,
    number,
)
from schema.resource import Resource
from schema.step import RunStep, time_spent

if TYPE_CHECKING:
    from schema.tenant import Tenant
    from schema.timeline import ProvisioningEventConnection

CURSORS = Cursors("runs", (number,))
"""Cursors of all tenants; ``below`` returns those of one."""


@described_type
class CancelRequest:
    """The first cancel of a run. Later cancels are accepted and do not change it."""

    requested_at: datetime = strawberry.field(
        description="When the cancel was recorded, in UTC. No step of the run begins after that."
    )
    requested_by: Actor = strawberry.field(
        description="Who requested the cancel; the platform when the run had passed its deadline."
    )
    reason: str | None = strawberry.field(
        description="Reason that was given, at most 500 characters; null when none was."
    )
    step_in_flight: str | None = strawberry.field(
        description="Name of the step that was RUNNING when the cancel was recorded; null when none was."
    )

    @classmethod
    def of(cls, row: Run) -> "CancelRequest | None":
        """Convert the cancel in a run's row; None when there is none."""
        if row.cancel_requested_at is None or row.cancel_actor_kind is None or row.cancel_actor_id is None:
            return None
        return cls(
            requested_at=row.cancel_requested_at,
            requested_by=Actor.of(row.cancel_actor_kind, row.cancel_actor_id, row.cancel_actor_name or ""),
            reason=row.cancel_reason,
            step_in_flight=row.cancel_step_in_flight,
        )


@described_type
class ProvisioningRun(Node):
    """One execution of the saga for one tenant: it creates the tenant's resources, or releases them.

    It continues after the mutation that started it has returned. cancelProvisioning stops it and undoes its steps.
    """

    row: strawberry.Private[Run]
    number: int = strawberry.field(
        description="1 for the first run of a tenant; each later run adds one, also a decommissioning run."
    )
    kind: RunKind = strawberry.field(description="Whether the run provisions the tenant or releases its resources.")
    status: RunStatus = strawberry.field(
        description="Progress of the run. SUCCEEDED, CANCELLED, FAILED and DECOMMISSIONED are final; a tenant has at "
        "most one run in another status."
    )
    cancellable: bool = strawberry.field(
        description="Whether cancelProvisioning would record a cancel: true for a PROVISION run that has not ended and "
        "has no cancel yet. A second cancel is accepted too, with alreadyRequested, and changes nothing."
    )
    cancel_request: CancelRequest | None = strawberry.field(
        description="The first cancel of the run, kept after its end; null when none was requested."
    )
    failed_step: str | None = strawberry.field(
        description="Name of the step that failed for good, so that the run is undone; null when none did. Kept when "
        "the run is cancelled during that undo. A failed undo is in stuckStep."
    )
    error: str | None = strawberry.field(
        description="Why that step failed, for people: the error of its last attempt. Null without failedStep."
    )
    error_code: RunErrorCode | None = strawberry.field(
        description="Why that step failed, for programs. Null without failedStep, and for runs of an earlier release."
    )
    stuck_since: datetime | None = strawberry.field(
        description="When the undo of a step failed for good. From then on nothing happens until resumeCompensation; "
        "null unless the run is STUCK."
    )
    stuck_step: str | None = strawberry.field(
        description="Name of the step that could not be undone; null unless the run is STUCK."
    )
    stuck_error: str | None = strawberry.field(
        description="Why it could not be undone, for people; null unless the run is STUCK."
    )
    started_by: Actor = strawberry.field(description="Who called the mutation that started the run.")
    started_at: datetime | None = strawberry.field(
        description="When a worker claimed the first step; for a DECOMMISSION run, when the mutation was called. Null "
        "while QUEUED, and for good when the run was cancelled before its first step."
    )
    finished_at: datetime | None = strawberry.field(
        description="When the run reached its final status, after all compensations; null before. Welcome e-mails and "
        "absence checks follow later."
    )
    elapsed: timedelta | None = strawberry.field(
        description="Time from startedAt to finishedAt, or until now. The wait for a worker is not included; null "
        "while startedAt is null."
    )

    @classmethod
    def of(cls, row: Run) -> "ProvisioningRun":
        """Convert a row."""
        return cls(
            row=row,
            id=global_id("ProvisioningRun", row.id),
            number=row.number,
            kind=row.kind,
            status=row.status,
            cancellable=row.cancellable,
            cancel_request=CancelRequest.of(row),
            failed_step=row.failed_step,
            error=row.error if row.failed_step else None,
            error_code=row.error_code,
            stuck_since=row.stuck_since,
            stuck_step=row.stuck_step,
            stuck_error=row.stuck_error,
            started_by=Actor.of(row.started_by_kind, row.started_by_id, row.started_by_name),
            started_at=row.started_at,
            finished_at=row.finished_at,
            elapsed=time_spent(row.started_at, row.finished_at),
        )

    @classmethod
    def of_optional(cls, row: Run | None) -> "ProvisioningRun | None":
        """Convert a row, or None."""
        return cls.of(row) if row else None

    @described_field
    async def steps(self, info: Info) -> list[RunStep]:
        """The steps of the saga as it was when the run began, in running order; absence checks are not among them.

        FORBIDDEN for callers without the right tenants:read.
        """
        return [RunStep.of(row) for row in await info.context.loaders.steps.load(self.row.id) or []]

    @described_field
    async def resources(self, info: Info) -> list[Resource]:
        """Every resource that the run has created or may have created, in order of creation, released ones included.

        A decommissioning run has those of the run that it releases. FORBIDDEN for callers without the right
        tenants:read.
        """
        key = ledger.run_that_took(self.row)
        return [Resource.of(row) for row in await info.context.loaders.resources.load(key) or []]

    @described_field
    async def abandoned_resources(self, info: Info) -> list[Resource]:
        """Resources of the run that an operator abandoned and that may still exist, in order of creation.

        A resource that an absence check did not find any more is not among them. A decommissioning run has those of the
        run that it releases. FORBIDDEN for callers without the right tenants:read.
        """
        rows = await info.context.loaders.resources.load(ledger.run_that_took(self.row)) or []
        return [Resource.of(row) for row in rows if row.left_behind]

    @described_field
    async def absence_checks(self, info: Info) -> list[AbsenceCheck]:
        """The absence checks so far, oldest first. Empty before the run was undone, and for a run that SUCCEEDED.

        FORBIDDEN for callers without the right tenants:read.
        """
        return [AbsenceCheck.of(row) for row in await info.context.loaders.absence_checks.load(self.row.id) or []]

    @described_field
    def next_absence_check_at(self, info: Info) -> datetime | None:
        """When the next absence check is due; while a check is under way, a time in the recent past.

        Null until the run has been undone, after its last check, and for a run that SUCCEEDED.
        """
        if self.row.status not in UNDONE_STATUSES:
            return None
        # A worker that performs the check has moved the due time to the end of its lease.
        held_until = self.row.lease_until
        return held_until - info.context.settings.lease if held_until else self.row.due_at

    @described_field
    async def tenant(self, info: Info) -> Annotated["Tenant", strawberry.lazy("schema.tenant")]:
        """The tenant as it is now."""
        row = await info.context.loaders.tenants.load(self.row.tenant_id)
        assert row is not None, "the tenant of a visible run exists"
        return tenants.Tenant.of(row)

    @described_field
    async def timeline(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Annotated["ProvisioningEventConnection", strawberry.lazy("schema.timeline")]:
        """The events of the run, oldest first; STEP_PROGRESS is only delivered by tenantProvisioning.

        FORBIDDEN for callers without the right tenants:read.
        """
        window = timelines.window_of(self.row.tenant_id, given(first), given(after), given(last), given(before))
        page = await info.context.loaders.timelines.load((self.row.id, window))
        return timelines.ProvisioningEventConnection.of(page)


@described_type
class ProvisioningRunEdge(Edge):
    """One run with its position in the list."""

    node: ProvisioningRun = strawberry.field(description="The run at this position.")


@described_type
class ProvisioningRunConnection:
    """A page of a tenant's runs, the newest first."""

    edges: list[ProvisioningRunEdge] = strawberry.field(description=EDGES)
    page_info: PageInfo = strawberry.field(description=PAGE_INFO)

    @classmethod
    def of(cls, page: Page[Run]) -> "ProvisioningRunConnection":
        """Convert a page of rows."""
        edges = [
            ProvisioningRunEdge(
                cursor=CURSORS.below(row.tenant_id).write((row.number,)),
                node=ProvisioningRun.of(row),
            )
            for row in page.rows
        ]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))
