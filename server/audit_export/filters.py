"""What of the audit feed a client wants to take: the conditions in the address, under the names that GraphQL has."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry
from starlette.datastructures import QueryParams
from strawberry.exceptions import StrawberryInputCoercionError

from models import ActorKind
from provisioning.audit_feed import EventFilter
from provisioning.pagination import Key
from provisioning.validation import is_storable
from schema.audit import CURSORS, AuditEventFilter, place_in
from schema.errors import BadUserInput
from schema.scalars import parse_instant, serialize_instant

MOST_TYPES = 100
LONGEST_TYPE = 80
SEVERAL = "typeIn"
KNOWN = {"tenantId", "runId", "actorId", SEVERAL, "occurredFrom", "occurredUntil", "organization", "after"}


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """What is to be exported, and how that is put on record."""

    organisation: str | None
    wanted: EventFilter
    after: Key | None
    facts: dict[str, Any]


def export_filter_of(address: QueryParams, format: str, asker: ActorKind) -> ExportFilter:
    """Read the address. Raises BadUserInput, NotFound: what is misspelt must not widen an export to everything."""
    _check_names(address)
    organisation, after = address.get("organization"), address.get("after")
    if organisation is None and asker is ActorKind.SUPPORT:
        raise BadUserInput("Name the organization whose feed you want: organization=<slug>.")
    wanted = _filter_in(address).to_domain()
    place = CURSORS.read(after)
    facts = {"format": format, "filter": _told(wanted), "after": after}
    return ExportFilter(organisation, wanted, place_in(wanted, place) if place else None, facts)


def _check_names(address: QueryParams) -> None:
    names = [name for name, value in address.multi_items() if name != SEVERAL]
    if unknown := sorted(set(names) - KNOWN):
        raise BadUserInput(f"There is no condition called {unknown[0][:40]!r}; there is {', '.join(sorted(KNOWN))}.")
    if len(set(names)) < len(names):
        raise BadUserInput(f"Give each condition once; only {SEVERAL} may be repeated.")
    if not all(value and is_storable(value) for _, value in address.multi_items()):
        raise BadUserInput("Give each condition a value of proper characters, or leave it out.")


def _filter_in(address: QueryParams) -> AuditEventFilter:
    return AuditEventFilter(
        tenant_id=_id(address.get("tenantId")),
        run_id=_id(address.get("runId")),
        actor_id=_id(address.get("actorId")),
        type_in=_types(address.getlist(SEVERAL)),
        occurred_from=_instant(address, "occurredFrom"),
        occurred_until=_instant(address, "occurredUntil"),
    )


def _id(text: str | None) -> strawberry.ID | None:
    return None if text is None else strawberry.ID(text)


def _types(lists: list[str]) -> list[str] | None:
    """Names, however they are divided among lists with commas."""
    names = [name.strip() for one in lists for name in one.split(",")]
    if len(names) > MOST_TYPES or not all(1 <= len(name) <= LONGEST_TYPE for name in names):
        raise BadUserInput(f"{SEVERAL} has at most {MOST_TYPES} names of 1 to {LONGEST_TYPE} characters.")
    return names or None


def _instant(address: QueryParams, name: str) -> datetime | None:
    try:
        return parse_instant(address[name]) if name in address else None
    except StrawberryInputCoercionError as refusal:
        raise BadUserInput(f"{name}: {refusal} A + is spelled %2B in an address.") from None


def _told(wanted: EventFilter) -> dict[str, Any]:
    """The conditions there are, as an event tells them."""
    told = {
        "tenant_id": str(wanted.tenant_id) if wanted.tenant_id else None,
        "run_id": str(wanted.run_id) if wanted.run_id else None,
        "actor_id": str(wanted.actor_id) if wanted.actor_id else None,
        "types": list(wanted.types) if wanted.types else None,
        "occurred_from": serialize_instant(wanted.occurred_from) if wanted.occurred_from else None,
        "occurred_until": serialize_instant(wanted.occurred_until) if wanted.occurred_until else None,
    }
    return {name: value for name, value in told.items() if value is not None}
