"""The scalars of the GraphQL schema: instants, durations, JSON."""

import re
from datetime import UTC, datetime, timedelta

import strawberry
from pydantic import TypeAdapter, ValidationError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from schema.errors import BadUserInput

RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
"""``datetime.fromisoformat`` alone would also accept the rest of ISO 8601, and offsets with seconds."""

_DURATIONS: TypeAdapter[timedelta] = TypeAdapter(timedelta)


def serialize_instant(instant: datetime) -> str:
    """Write RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat()[: -len("+00:00")] + "Z"


def parse_instant(text: object) -> datetime:
    """Read RFC 3339 and convert it to UTC. Raises StrawberryInputCoercionError."""
    if not isinstance(text, str) or not RFC_3339.fullmatch(text):
        raise StrawberryInputCoercionError(
            "Invalid DateTime: write RFC 3339 with an offset, such as 2026-11-22T09:30:00Z."
        )
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day or time; or in UTC before the year 1 or after 9999
        raise StrawberryInputCoercionError(
            "Invalid DateTime: it must be a time that exists, in the years 1 to 9999 of UTC.",
            extensions={"code": BadUserInput.code},
        ) from None


def _serialize_duration(duration: timedelta) -> str:
    return _DURATIONS.dump_json(duration).decode().strip('"')


def _parse_duration(text: object) -> timedelta:
    try:
        return _DURATIONS.validate_python(text if isinstance(text, str) and text.startswith("P") else None)
    except ValidationError:
        raise StrawberryInputCoercionError("Invalid Duration: write ISO 8601, such as PT90S, PT15M or P1D.") from None


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant as RFC 3339, with up to six decimals of a second: 2026-11-22T09:30:00.123456Z. "
        "Output is in UTC; input may have any offset, and needs one.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time.html",
        serialize=serialize_instant,
        parse_value=parse_instant,
    ),
    timedelta: strawberry.scalar(
        name="Duration",
        description="A length of time as ISO 8601, such as PT42.5S, PT15M or P1D. Never negative.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#appendix-A",
        serialize=_serialize_duration,
        parse_value=_parse_duration,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value: an object, a list, a text, a number, a truth value or null.",
        specified_by_url="https://ecma-international.org/publications-and-standards/standards/ecma-404/",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}
"""For StrawberryConfig.scalar_map."""
