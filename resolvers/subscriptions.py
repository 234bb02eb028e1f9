"""Following a tenant's provisioning: replay from the database, then live, each entry once and in order."""

import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import strawberry
from anyio import sleep
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from access.permissions import Permission
from provisioning import audit_feed
from provisioning.audit_feed import Progress
from provisioning.errors import NotFound as Unknown
from runtime.database import is_transient
from runtime.feed import POLL_EVERY, RECONNECT_AFTER
from schema.context import Context, Info
from schema.enums import ProvisioningEventKind
from schema.errors import NotFound
from schema.node import uuid_of
from schema.pagination import given
from schema.timeline import CURSORS, ProvisioningEvent

logger = logging.getLogger(__name__)

Follow = Annotated[
    bool, strawberry.argument(description="Continue after the end of the run, with the tenant's next runs.")
]

PROGRESS_INTERVAL = 0.25
"""Seconds: at most four entries of progress in one."""

P = ParamSpec("P")
T = TypeVar("T")


class Pace:
    """Coalesces progress: what was there before somebody watched is old news, and what comes is told now and then.

    So are signs of life: that a step began has an entry of its own, and only later ones say that it is still at work.
    """

    def __init__(self, before: Progress | None) -> None:
        self._told = before
        self._told_at = -PROGRESS_INTERVAL

    def take(self, progress: Progress | None) -> Progress | None:
        """What is to be told of this, if anything."""
        if progress is None or (progress.message is None and not progress.continues(self._told)):
            self._told = progress  # nobody is at it, or somebody has only begun: entries tell that
            return None
        if progress.repeats(self._told) or self.rest > 0:
            return None
        self._told, self._told_at = progress, time.monotonic()
        return progress

    @property
    def rest(self) -> float:
        """Seconds until progress may be told again."""
        return max(self._told_at + PROGRESS_INTERVAL - time.monotonic(), 0.0)


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
    """Watch first, then read: what happens in between wakes the watcher."""
    context, pace = info.context, None
    context.require(Permission.READ_TENANTS)
    key = await _visible(context, tenant_id)
    place = CURSORS.below(key).read(context.resume_after or given(after))
    seen = place[0] if place else await context.transact(audit_feed.sequence_before_newest_run, key)
    with context.feed.watch(str(key)) as watcher:
        while True:
            look = await steadily(context, audit_feed.read_timeline, key, seen)
            pace = pace or Pace(before=look.progress)
            for row in look.entries:
                entry, seen = ProvisioningEvent.of(row), row.sequence
                context.tell(entry.cursor)
                yield entry
                if entry.kind is ProvisioningEventKind.RUN_FINISHED and not follow:
                    return
            if look.entries:
                continue
            if not (look.live or follow):
                return
            if progress := pace.take(look.progress):
                sign = ProvisioningEvent.of_progress(progress, key, seen)
                context.tell(sign.cursor)
                yield sign
            await watcher.wait(pace.rest or POLL_EVERY)


async def steadily(
    context: Context, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Read, again and again while the database is away or busy: whoever follows goes on where it was."""
    while True:
        try:
            return await context.transact(work, *args, **kwargs)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            logger.warning("a follower cannot read, trying again", extra={"cause": type(error).__name__})
            await sleep(RECONNECT_AFTER)


async def _visible(context: Context, tenant_id: str) -> UUID:
    """The tenant's key. Raises NotFound for what does not exist or is hidden."""
    try:
        key = uuid_of("Tenant", tenant_id, called="tenant")
    except Unknown as refusal:
        raise NotFound.like(refusal) from None
    if await context.loaders.tenants.load(key) is None:
        raise NotFound.like(Unknown("tenant"))
    return key
