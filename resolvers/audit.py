"""The audit feed: the query auditEvents, the subscription auditEventAdded."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated

import strawberry

from access.permissions import Permission
from provisioning import audit_feed
from provisioning.audit_feed import EventFilter, FeedStart
from resolvers.subscriptions import read_with_retry
from schema.audit import CURSORS, AuditEvent, AuditEventConnection, AuditEventFilter, anchor_at, place_in
from schema.context import Context, Info
from schema.execution import names_below
from schema.loaders import Related
from schema.pagination import After, Before, First, Last, given

Filter = Annotated[
    AuditEventFilter | None,
    strawberry.argument(description="Conditions on the events; without it, every event that the caller can see."),
]

HELD_BACK_POLL_INTERVAL = 0.05
"""Seconds between two reads while an older transaction that is still open holds events back."""


async def audit_events(
    info: Info,
    first: First = strawberry.UNSET,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
    filter: Filter = strawberry.UNSET,
) -> AuditEventConnection:
    """A page of the feed, newest event first."""
    context = info.context
    context.require(Permission.READ_FEED)
    conditions = (given(filter) or AuditEventFilter()).to_domain()
    window = CURSORS.window(given(first), given(after), given(last), given(before))
    window = replace(
        window,
        after=place_in(conditions, window.after) if window.after else None,
        before=place_in(conditions, window.before) if window.before else None,
        anchors=tuple(anchor_at(cursor) for cursor in (window.after, window.before) if cursor),
    )
    page = await context.loaders.read_page(
        lambda session: audit_feed.feed(session, conditions, window, by=context.actor),
        _related(context, names_below(info._raw_info)),  # noqa: SLF001  # Strawberry's own view of it takes longer
    )
    return AuditEventConnection.of(page)


def _related(context: Context, shown: frozenset[str]) -> list[Related]:
    """What the events of a page are shown with, if these fields are selected below it."""
    if not context.caller.reads_tenants:
        return []
    tenants: list[Related] = [(context.loaders.tenants, lambda event: event.tenant_id)] if "tenant" in shown else []
    return [*tenants, (context.loaders.runs, lambda event: event.run_id)] if "run" in shown else tenants


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
    """Emit each event once, in the order of the feed."""
    context = info.context
    context.require(Permission.READ_FEED)
    conditions = (given(filter) or AuditEventFilter()).to_domain()
    start = await _start(context, conditions, context.resume_after or given(after))
    with context.feed.watch(*_topics(context, conditions)) as watcher:
        while True:
            page = await read_with_retry(context.transact, audit_feed.feed_since, conditions, start, by=context.actor)
            for row in page.entries:
                event = AuditEvent.of(row)
                start = replace(start, after=conditions.key_of(row), anchor=audit_feed.anchor_of(row))
                async with context.delivering(event.cursor, replayed=len(page.entries) > 1):
                    yield event
            if len(page.entries) < audit_feed.MAX_EVENTS_PER_READ:
                await watcher.wait(HELD_BACK_POLL_INTERVAL if page.held_back else None)


async def _start(context: Context, conditions: EventFilter, cursor: str | None) -> FeedStart:
    place = CURSORS.read(cursor)
    if place is not None:
        return FeedStart(place_in(conditions, place), anchor_at(place))
    return await context.transact(audit_feed.feed_start, conditions)


def _topics(context: Context, conditions: EventFilter) -> list[str]:
    """The words that a notification has to contain to wake this subscription."""
    named = conditions.tenant_id or context.actor.organisation_id
    return [str(named), "event"] if named else ["event"]
