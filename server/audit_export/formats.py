"""The formats of an export: an event as a line of JSON or a row of CSV, with GraphQL's fields."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from access.permissions import Identity
from models import Event
from schema.actor import WITHOUT_ADDRESS
from schema.audit import AuditEvent
from schema.node import global_id
from schema.scalars import serialize_instant
from schema.visible_facts import visible_facts

COLUMNS = (
    *("id", "cursor", "type", "occurredAt", "actorId", "actorKind", "actorName"),
    *("tenantId", "runId", "requestId", "data"),
)

FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001  # also full-width ones
"""A spreadsheet executes a cell with such a prefix (https://owasp.org/www-community/attacks/CSV_Injection)."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. ``name`` is the file's extension, ``head`` its first bytes, ``body`` encodes events."""

    name: str
    media_type: str
    head: bytes
    body: Callable[[Sequence[Event], Identity], bytes]


def facts_of(row: Event, caller: Identity) -> Facts:
    """The fields of an event that the caller may see, with GraphQL's names and values."""
    event = AuditEvent.of(row)
    reads_tenants = caller.reads_tenants
    name = event.actor.name_for(caller) or WITHOUT_ADDRESS[event.actor.kind]
    return {
        "id": event.id,
        "cursor": event.cursor,
        "type": event.type,
        "occurredAt": serialize_instant(event.occurred_at),
        "actor": {"id": event.actor.id, "kind": event.actor.kind.value, "displayName": name},
        "tenant": _reference("Tenant", row.tenant_id) if reads_tenants else None,
        "run": _reference("ProvisioningRun", row.run_id) if reads_tenants else None,
        "requestId": event.request_id,
        "data": visible_facts(row.data, caller),
    }


def json_lines(rows: Sequence[Event], caller: Identity) -> bytes:
    """One JSON object per line."""
    return b"".join(_compact(facts_of(row, caller)).encode() + b"\n" for row in rows)


def csv_rows(rows: Sequence[Event], caller: Identity) -> bytes:
    """CSV rows (RFC 4180), in the order of ``COLUMNS``."""
    return _csv(_cells(facts_of(row, caller)) for row in rows)


def _cells(facts: Facts) -> list[str]:
    actor, tenant, run = facts["actor"], facts["tenant"] or {}, facts["run"] or {}
    values = [
        *(facts["id"], facts["cursor"], facts["type"], facts["occurredAt"]),
        *(actor["id"], actor["kind"], actor["displayName"], tenant.get("id"), run.get("id")),
        *(facts["requestId"], _compact(facts["data"])),
    ]
    return [_without_formula(value or "") for value in values]


def _without_formula(cell: str) -> str:
    """The cell, quoted if a spreadsheet would execute it."""
    return f"'{cell}" if cell.startswith(FORMULA_PREFIXES) else cell


def _csv(rows: Iterator[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _reference(type_name: str, key: UUID | None) -> Facts | None:
    return {"id": global_id(type_name, key)} if key else None


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format("csv", "text/csv; charset=utf-8; header=present", _csv(iter([list(COLUMNS)])), csv_rows),
        "jsonl": Format("jsonl", "application/jsonl", b"", json_lines),
    }
)
