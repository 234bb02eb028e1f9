"""The audit feed: read in pages, and followed as it grows."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated

import strawberry

from access.permissions import Permission
from provisioning import audit_feed
from provisioning.audit_feed import EventFilter, FeedStart
from resolvers.subscriptions import steadily
from runtime.feed import POLL_EVERY
from schema.audit import CURSORS, AuditEvent, AuditEventConnection, AuditEventFilter, place_in
from schema.context import Context, Info
from schema.pagination import After, Before, First, Last, given

Filter = Annotated[
    AuditEventFilter | None,
    strawberry.argument(description="Conditions on the events; without it, every event that the caller can see."),
]

ASK_AGAIN_AFTER = 0.05
"""Seconds between two looks while events are held back by an older transaction that is still open."""


async def audit_events(
    info: Info,
    first: First = strawberry.UNSET,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
    filter: Filter = strawberry.UNSET,
) -> AuditEventConnection:
    """A page, newest first."""
    context = info.context
    context.require(Permission.READ_FEED)
    wanted = (given(filter) or AuditEventFilter()).to_domain()
    window = CURSORS.window(given(first), given(after), given(last), given(before))
    window = replace(
        window,
        after=place_in(wanted, window.after) if window.after else None,
        before=place_in(wanted, window.before) if window.before else None,
    )
    return AuditEventConnection.of(await context.transact(audit_feed.feed, wanted, window, by=context.actor))


async def audit_event_added(
    info: Info,
    after: Annotated[
        str | None,
        strawberry.argument(
            description="Cursor of the last event that was received. Absent: only events from now on are delivered."
        ),
    ] = strawberry.UNSET,
    filter: Filter = strawberry.UNSET,
) -> AsyncGenerator[AuditEvent, None]:
    """Each event once, in the order of the feed."""
    context = info.context
    context.require(Permission.READ_FEED)
    wanted = (given(filter) or AuditEventFilter()).to_domain()
    start = await _start(context, wanted, context.resume_after or given(after))
    with context.feed.watch(*_words(context, wanted)) as watcher:
        while True:
            look = await steadily(context, audit_feed.feed_since, wanted, start, by=context.actor)
            for row in look.entries:
                event = AuditEvent.of(row)
                start = replace(start, after=wanted.key_of(row))
                context.tell(event.cursor)
                yield event
            if len(look.entries) < audit_feed.MAX_EVENTS_PER_READ:
                await watcher.wait(ASK_AGAIN_AFTER if look.held_back else POLL_EVERY)


async def _start(context: Context, wanted: EventFilter, cursor: str | None) -> FeedStart:
    place = CURSORS.read(cursor)
    if place is not None:
        return FeedStart(place_in(wanted, place))
    return await context.transact(audit_feed.feed_start, wanted)


def _words(context: Context, wanted: EventFilter) -> list[str]:
    """What the hints name that concern this caller."""
    named = wanted.tenant_id or context.actor.organisation_id
    return [str(named), "event"] if named else ["event"]
