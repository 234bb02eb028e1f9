"""The scalars that clients see: instants, lengths of time, JSON."""

import re
from datetime import UTC, datetime, timedelta

import strawberry
from pydantic import TypeAdapter, ValidationError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
"""Python reads all of ISO 8601, and offsets of its own."""

_LENGTHS: TypeAdapter[timedelta] = TypeAdapter(timedelta)


def write_instant(instant: datetime) -> str:
    """In UTC, as RFC 3339."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_instant(text: object) -> datetime:
    """Read RFC 3339, to UTC. Raises StrawberryInputCoercionError."""
    try:
        instant = datetime.fromisoformat(text) if isinstance(text, str) and RFC_3339.fullmatch(text) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise StrawberryInputCoercionError("A DateTime is RFC 3339 with an offset, such as 2026-11-22T09:30:00Z.")
    return instant.astimezone(UTC)


def _write_length(length: timedelta) -> str:
    return _LENGTHS.dump_json(length).decode().strip('"')


def _read_length(text: object) -> timedelta:
    try:
        return _LENGTHS.validate_python(text if isinstance(text, str) and text.startswith("P") else None)
    except ValidationError:
        raise StrawberryInputCoercionError("A Duration is ISO 8601, such as PT90S, PT15M or P1D.") from None


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in UTC as RFC 3339, for example 2026-11-22T09:30:00.123456Z. Input needs an offset.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=write_instant,
        parse_value=read_instant,
    ),
    timedelta: strawberry.scalar(
        name="Duration",
        description="A length of time as ISO 8601, for example PT42.5S.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#appendix-A",
        serialize=_write_length,
        parse_value=_read_length,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value.",
        specified_by_url="https://ecma-international.org/publications-and-standards/standards/ecma-404/",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}
"""For StrawberryConfig.scalar_map."""
