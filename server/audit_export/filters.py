"""Reads an export's filter from the query string; its parameters have the names of GraphQL's filter."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry
from starlette.datastructures import QueryParams
from strawberry.exceptions import StrawberryInputCoercionError

from models import ActorKind
from provisioning.anchors import Anchor
from provisioning.audit_feed import EventFilter
from provisioning.pagination import Key
from provisioning.validation import is_storable
from schema.audit import CURSORS, AuditEventFilter, anchor_at, place_in
from schema.errors import BadUserInput
from schema.scalars import parse_instant, serialize_instant

MAX_TYPES = 100
MAX_TYPE_LENGTH = 80
REPEATABLE = "typeIn"
PARAMETERS = {"tenantId", "runId", "actorId", REPEATABLE, "occurredFrom", "occurredUntil", "organization", "after"}


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """The events to export. ``anchor`` is the event at ``after``; ``facts`` describe the export in the feed."""

    organisation: str | None
    events: EventFilter
    after: Key | None
    anchor: Anchor | None
    facts: dict[str, Any]


def export_filter_of(query: QueryParams, format: str, caller_kind: ActorKind) -> ExportFilter:
    """Read the query string. Raises BadUserInput, NotFound: a misspelt parameter must not export the whole feed."""
    _check_names(query)
    organisation, after = query.get("organization"), query.get("after")
    if organisation is None and caller_kind is ActorKind.SUPPORT:
        raise BadUserInput("Support must name the organization to export: organization=<slug>.")
    events = _filter_in(query).to_domain()
    cursor = CURSORS.read(after)
    facts = {"format": format, "filter": _facts_of(events), "after": after}
    place = place_in(events, cursor) if cursor else None
    return ExportFilter(organisation, events, place, anchor_at(cursor) if cursor else None, facts)


def _check_names(query: QueryParams) -> None:
    names = [name for name, value in query.multi_items() if name != REPEATABLE]
    if unknown := sorted(set(names) - PARAMETERS):
        known = ", ".join(sorted(PARAMETERS))
        raise BadUserInput(f"There is no parameter {unknown[0][:40]!r}. The parameters are {known}.")
    if len(set(names)) < len(names):
        raise BadUserInput(f"Give each parameter once; only {REPEATABLE} may be repeated.")
    if not all(value and is_storable(value) for _, value in query.multi_items()):
        raise BadUserInput("Give each parameter a value without invalid characters, or leave it out.")


def _filter_in(query: QueryParams) -> AuditEventFilter:
    return AuditEventFilter(
        tenant_id=_id(query.get("tenantId")),
        run_id=_id(query.get("runId")),
        actor_id=_id(query.get("actorId")),
        type_in=_types(query.getlist(REPEATABLE)),
        occurred_from=_instant(query, "occurredFrom"),
        occurred_until=_instant(query, "occurredUntil"),
    )


def _id(text: str | None) -> strawberry.ID | None:
    return None if text is None else strawberry.ID(text)


def _types(lists: list[str]) -> list[str] | None:
    """The names in all values of the repeated parameter; each value may be a comma-separated list."""
    names = [name.strip() for list_ in lists for name in list_.split(",")]
    if len(names) > MAX_TYPES or not all(1 <= len(name) <= MAX_TYPE_LENGTH for name in names):
        raise BadUserInput(f"{REPEATABLE} has at most {MAX_TYPES} names of 1 to {MAX_TYPE_LENGTH} characters.")
    return names or None


def _instant(query: QueryParams, name: str) -> datetime | None:
    try:
        return parse_instant(query[name]) if name in query else None
    except StrawberryInputCoercionError as refusal:
        raise BadUserInput(f"{name}: {refusal} In a URL, write + as %2B.") from None


def _facts_of(events: EventFilter) -> dict[str, Any]:
    """The filter's conditions as facts of an event, without those that are not set."""
    facts = {
        "tenant_id": str(events.tenant_id) if events.tenant_id else None,
        "run_id": str(events.run_id) if events.run_id else None,
        "actor_id": str(events.actor_id) if events.actor_id else None,
        "types": list(events.types) if events.types else None,
        "occurred_from": serialize_instant(events.occurred_from) if events.occurred_from else None,
        "occurred_until": serialize_instant(events.occurred_until) if events.occurred_until else None,
    }
    return {name: value for name, value in facts.items() if value is not None}
