"""What connections share: page arguments, opaque cursors, where a page lies."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import strawberry

from provisioning.pagination import Key, Page, Window
from schema.errors import BadUserInput

First = Annotated[int | None, strawberry.argument(description="Page size, 1 to 100.")]
FirstOrUsual = Annotated[
    int | None,
    strawberry.argument(description="Page size, 1 to 100; 20 when neither first nor last is given."),
]
After = Annotated[str | None, strawberry.argument(description="Cursor to continue after.")]
Last = Annotated[int | None, strawberry.argument(description="Page size from the end.")]
Before = Annotated[str | None, strawberry.argument(description="Cursor to end before.")]

USUAL_SIZE = 20
LARGEST_SIZE = 100
LONGEST_CURSOR = 500

T = TypeVar("T")


@strawberry.type(description="Position of a page inside its list.")
class PageInfo:
    """Position of a page inside its list."""

    has_next_page: bool = strawberry.field(description="Whether more items follow the last edge.")
    has_previous_page: bool = strawberry.field(description="Whether items precede the first edge.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first edge, null on an empty page.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last edge, null on an empty page.")

    @classmethod
    def of(cls, page: Page[Any], cursors: list[str]) -> "PageInfo":
        """Where this page lies."""
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )


@dataclass(frozen=True, slots=True)
class Cursors:
    """How the cursors of one list are spelled. A cursor of another list, or of another order, is refused."""

    name: str
    readers: tuple[Callable[[Any], Any], ...]

    def below(self, parent: UUID) -> "Cursors":
        """Those of the list that belongs to this parent: another parent's are refused too."""
        return replace(self, name=f"{self.name} {parent}")

    def write(self, key: Key) -> str:
        """Spell the place of a row."""
        text = json.dumps([self.name, *map(_plain, key)], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def read(self, cursor: str | None) -> Key | None:
        """The place that a cursor names. Raises BadUserInput."""
        if cursor is None:
            return None
        try:
            name, *values = _decoded(cursor)
            if name == self.name:
                return tuple(read(value) for read, value in zip(self.readers, values, strict=True))
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
            pass
        raise BadUserInput("This is not a cursor of this list: pass one that it gave you, in the same order.")

    def window(self, first: int | None, after: str | None, last: int | None, before: str | None) -> Window:
        """The page that the arguments ask for. Raises BadUserInput."""
        if first is not None and last is not None:
            raise BadUserInput("Give first or last, not both.")
        size = next((one for one in (first, last) if one is not None), USUAL_SIZE)
        if not 1 <= size <= LARGEST_SIZE:
            raise BadUserInput(f"A page has 1 to {LARGEST_SIZE} items.")
        return Window(size, self.read(after), self.read(before), backward=last is not None)


def number(value: object) -> int:
    """Read a number that Postgres can hold."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a number")
    return value


def text(value: object) -> str:
    """Read a text that Postgres can hold."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def instant(value: object) -> datetime:
    """Read an instant with its zone."""
    moment = datetime.fromisoformat(text(value))
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment


def key(value: object) -> UUID:
    """Read a UUID."""
    return UUID(text(value))


def given(value: T | None) -> T | None:
    """What a client gave; None when it left an argument out."""
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
    if len(cursor) > LONGEST_CURSOR:
        raise ValueError("too long")
    raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    values = json.loads(raw)
    if not isinstance(values, list):
        raise TypeError("not a list")
    return values
