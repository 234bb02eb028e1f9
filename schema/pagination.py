"""Page arguments, cursors and page information of all connections."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import strawberry

from provisioning.pagination import Key, Page, Window
from schema.described import described_type
from schema.errors import BadUserInput

First = Annotated[
    int | None,
    strawberry.argument(
        description="Number of items from the beginning, 1 to 100; 20 when neither first nor last is given. Not "
        "together with last."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(description="Only items behind this cursor. A cursor of another list or order is refused."),
]
Last = Annotated[
    int | None,
    strawberry.argument(description="Number of items from the end, 1 to 100. Not together with first."),
]
Before = Annotated[
    str | None,
    strawberry.argument(description="Only items before this cursor. A cursor of another list or order is refused."),
]

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100
MAX_CURSOR_LENGTH = 500
"""Characters."""

_ENCODER = json.JSONEncoder(separators=(",", ":"))

T = TypeVar("T")


EDGES = "The items of this page in the order of the list, each with its cursor."
PAGE_INFO = "The first and last cursor of this page, and whether the list continues on either side."


@described_type
class PageInfo:
    """Where a page begins and ends in its list, as the Relay specification defines it."""

    has_next_page: bool = strawberry.field(
        description="Whether items follow this page. With last it is true when before was given, without a check."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether items precede this page. With first it is true when after was given, without a check."
    )
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first item, to pass as before; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last item, to pass as after; null on an empty page."
    )

    @classmethod
    def of(cls, page: Page[Any], cursors: list[str]) -> "PageInfo":
        """Convert a page, with the cursors of its items."""
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )


@described_type
class Edge:
    """One item of a page."""

    cursor: str = strawberry.field(description="Position of this item in the list, to pass as after or before.")


@dataclass(frozen=True, slots=True)
class Cursors:
    """Encodes and decodes the cursors of one list in one order, and refuses those of others.

    ``readers`` read the values of a key from JSON; each raises ValueError or TypeError for a value of another type.
    The last ``optional`` values are None in cursors of earlier releases, which do not have them.
    """

    name: str
    readers: tuple[Callable[[Any], Any], ...]
    optional: int = 0

    def below(self, parent: UUID) -> "Cursors":
        """The cursors of the list that belongs to this parent; those of other parents are refused."""
        return Cursors(f"{self.name} {parent}", self.readers, self.optional)

    def write(self, key: Key) -> str:
        """Encode the key of a row."""
        text = _ENCODER.encode([self.name, *map(_plain, key)])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def read(self, cursor: str | None) -> Key | None:
        """Decode a cursor; None for None. Raises BadUserInput."""
        if cursor is None:
            return None
        try:
            name, *values = _decoded(cursor)
            if name == self.name:
                values += [None] * min(len(self.readers) - len(values), self.optional)
                return tuple(read(value) for read, value in zip(self.readers, values, strict=True))
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
            pass
        raise BadUserInput("Invalid cursor: pass a cursor that this list returned, in the same order.")

    def window(self, first: int | None, after: str | None, last: int | None, before: str | None) -> Window:
        """The page that the arguments request. Raises BadUserInput."""
        if first is not None and last is not None:
            raise BadUserInput("Both first and last were given: pass one of them.")
        size = next((one for one in (first, last) if one is not None), DEFAULT_PAGE_SIZE)
        if not 1 <= size <= MAX_PAGE_SIZE:
            raise BadUserInput(f"Invalid page size {size}: pass 1 to {MAX_PAGE_SIZE}.")
        return Window(size, self.read(after), self.read(before), backward=last is not None)


def number(value: object) -> int:
    """Read an integer that fits a Postgres bigint. Raises ValueError."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a number")
    return value


def text(value: object) -> str:
    """Read a text that Postgres can store. Raises ValueError."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def instant(value: object) -> datetime:
    """Read an instant with a time zone. Raises ValueError."""
    moment = datetime.fromisoformat(text(value))
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment


def key(value: object) -> UUID:
    """Read a UUID. Raises ValueError."""
    return UUID(text(value))


def optional(reader: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """The same reader, which returns None for None."""
    return lambda value: None if value is None else reader(value)


def given(value: T | None) -> T | None:
    """The value of an argument; None when the client left it out."""
    return None if value is strawberry.UNSET else value


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value


def _decoded(cursor: str) -> list[Any]:
    if len(cursor) > MAX_CURSOR_LENGTH:
        raise ValueError("too long")
    raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    values = json.loads(raw)
    if not isinstance(values, list):
        raise TypeError("not a list")
    return values
