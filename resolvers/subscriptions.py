"""The subscription tenantProvisioning: stored entries first, then new ones, each once and in order."""

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, ParamSpec, TypeVar
from uuid import UUID

import strawberry
from anyio import sleep
from sqlalchemy.exc import SQLAlchemyError

from access.permissions import Permission
from provisioning import audit_feed
from provisioning.audit_feed import Progress
from provisioning.errors import NotFound as NoSuchObject
from runtime.database import is_transient
from runtime.feed import RECONNECT_AFTER
from schema.context import Context, Info
from schema.enums import ProvisioningEventKind
from schema.errors import Busy, NotFound
from schema.node import uuid_of
from schema.pagination import given
from schema.timeline import CURSORS, ProvisioningEvent, place_in

logger = logging.getLogger(__name__)

Follow = Annotated[
    bool, strawberry.argument(description="Continue after the end of the run, with the tenant's next runs.")
]

PROGRESS_INTERVAL = 0.25
"""Seconds between two entries of progress."""

P = ParamSpec("P")
T = TypeVar("T")


class ProgressThrottle:
    """Decides which progress of a step a subscription emits.

    Progress is emitted when it has changed since the last one, and at most once in PROGRESS_INTERVAL. Progress from
    before the subscription is not emitted. The first heartbeat of a step without a message is not emitted either,
    because STEP_STARTED has just reported the start.
    """

    def __init__(self, before: Progress | None) -> None:
        self._last = before
        self._emitted_at = -PROGRESS_INTERVAL

    def next(self, progress: Progress | None) -> Progress | None:
        """The progress to emit now; None when there is nothing to emit yet."""
        if progress is None or (progress.message is None and not progress.continues(self._last)):
            self._last = progress
            return None
        if progress.repeats(self._last) or self.wait > 0:
            return None
        self._last, self._emitted_at = progress, time.monotonic()
        return progress

    @property
    def wait(self) -> float:
        """Seconds until progress may be emitted again."""
        return max(self._emitted_at + PROGRESS_INTERVAL - time.monotonic(), 0.0)


async def tenant_provisioning(
    info: Info,
    tenant_id: Annotated[
        strawberry.ID,
        strawberry.argument(description="Global id of the tenant. NOT_FOUND when the caller cannot see it."),
    ],
    after: Annotated[
        str | None,
        strawberry.argument(
            description="Cursor of the last entry that was received, of any run of the tenant. Absent: from the "
            "start of the newest run."
        ),
    ] = strawberry.UNSET,
    follow: Follow = False,  # noqa: FBT002  # GraphQL names its arguments
) -> AsyncGenerator[ProvisioningEvent, None]:
    """Watch first, then read: an event that is committed in between wakes the watcher."""
    context, throttle = info.context, None
    context.require(Permission.READ_TENANTS)
    key = await _visible(context, tenant_id)
    place = CURSORS.below(key).read(context.resume_after or given(after))
    seen = place_in(key, place) if place else await context.transact(audit_feed.place_before_newest_run, key)
    with context.feed.watch(str(key)) as watcher:
        while True:
            page = await read_with_retry(context.transact_shared, audit_feed.read_timeline, key, seen)
            throttle = throttle or ProgressThrottle(before=page.progress)
            for row in page.entries:
                entry, seen = ProvisioningEvent.of(row), audit_feed.anchor_of(row)
                async with context.delivering(entry.cursor, replayed=len(page.entries) > 1):
                    yield entry
                if entry.kind is ProvisioningEventKind.RUN_FINISHED and not follow:
                    return
            if page.entries:
                continue
            if not (page.live or follow):
                return
            progress_in = throttle.wait
            if progress := throttle.next(page.progress):
                update = ProvisioningEvent.of_progress(progress, key, seen)
                async with context.delivering(update.cursor, replayed=False):
                    yield update
                progress_in = throttle.wait
            await watcher.wait(progress_in or None)


async def read_with_retry(transact: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read in one transaction, and again after each transient error, so that a stream survives an outage.

    It also survives a time in which its caller's part of the connections is in use.
    """
    while True:
        try:
            return await transact(*args, **kwargs)
        except (SQLAlchemyError, Busy) as error:
            if isinstance(error, SQLAlchemyError) and not is_transient(error):
                raise
            logger.warning("subscription cannot read, retrying", extra={"cause": type(error).__name__})
            await sleep(RECONNECT_AFTER)


async def _visible(context: Context, tenant_id: str) -> UUID:
    """The UUID of a tenant. Raises NotFound when it does not exist or the caller cannot see it."""
    try:
        key = uuid_of("Tenant", tenant_id, called="tenant")
    except NoSuchObject as refusal:
        raise NotFound.like(refusal) from None
    if await context.loaders.tenants.load(key) is None:
        raise NotFound.like(NoSuchObject("tenant"))
    return key
