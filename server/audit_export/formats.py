"""How an event is spelled in an export: as a line of JSON or a row of CSV, with what GraphQL tells of it."""

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
from schema.audit import AuditEvent, without_personal_data
from schema.node import global_id
from schema.scalars import serialize_instant

COLUMNS = (
    *("id", "cursor", "type", "occurredAt", "actorId", "actorKind", "actorName"),
    *("tenantId", "runId", "requestId", "data"),
)

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001  # spreadsheets take the wide ones too
"""How a cell begins that a spreadsheet would carry out (https://owasp.org/www-community/attacks/CSV_Injection)."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: what it is called, how it begins, and how some events are spelled in it."""

    name: str
    media_type: str
    head: bytes
    body: Callable[[Sequence[Event], Identity], bytes]


def facts_of(row: Event, caller: Identity) -> Facts:
    """What GraphQL answers about an event, under the same names."""
    event = AuditEvent.of(row)
    shown = caller.reads_tenants
    return {
        "id": event.id,
        "cursor": event.cursor,
        "type": event.type,
        "occurredAt": serialize_instant(event.occurred_at),
        "actor": {"id": event.actor.id, "kind": event.actor.kind.value, "displayName": event.actor.display_name},
        "tenant": _named("Tenant", row.tenant_id) if shown else None,
        "run": _named("ProvisioningRun", row.run_id) if shown else None,
        "requestId": event.request_id,
        "data": row.data if caller.sees_first_admins else without_personal_data(row.data),
    }


def json_lines(rows: Sequence[Event], caller: Identity) -> bytes:
    """An object on each line."""
    return b"".join(_compact(facts_of(row, caller)).encode() + b"\n" for row in rows)


def csv_rows(rows: Sequence[Event], caller: Identity) -> bytes:
    """RFC 4180, in the order of the columns."""
    return _written(_cells(facts_of(row, caller)) for row in rows)


def _cells(facts: Facts) -> list[str]:
    actor, tenant, run = facts["actor"], facts["tenant"] or {}, facts["run"] or {}
    values = [
        *(facts["id"], facts["cursor"], facts["type"], facts["occurredAt"]),
        *(actor["id"], actor["kind"], actor["displayName"], tenant.get("id"), run.get("id")),
        *(facts["requestId"], _compact(facts["data"])),
    ]
    return [_harmless(value or "") for value in values]


def _harmless(cell: str) -> str:
    """A cell that nobody's spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _written(rows: Iterator[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _named(type_name: str, key: UUID | None) -> Facts | None:
    return {"id": global_id(type_name, key)} if key else None


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format("csv", "text/csv; charset=utf-8; header=present", _written(iter([list(COLUMNS)])), csv_rows),
        "jsonl": Format("jsonl", "application/jsonl", b"", json_lines),
    }
)
