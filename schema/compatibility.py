"""How the schema may change: what was released stays, or goes after the day that its deprecation named."""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from graphql import (
    REMOVE,
    DangerousChangeType,
    DirectiveNode,
    NameNode,
    Node,
    StringValueNode,
    Visitor,
    VisitorAction,
    build_ast_schema,
    find_breaking_changes,
    find_dangerous_changes,
    parse,
    visit,
)

COMMITTED = Path(__file__).with_name("schema.graphql")
RELEASED = Path(__file__).with_name("released.graphql")
"""What the last release served; until there is one, the contract that the first has to keep."""

NOTICE = timedelta(days=365)
LAST_DAY = re.compile(r"Goes after (\d{4}-\d{2}-\d{2})\.$")
"""How the reason of every deprecation ends."""


def objections(released: str, ours: str, today: date) -> list[str]:
    """What a client of the release would stumble over, a sentence each."""
    owed = build_ast_schema(visit(parse(released), Due(today)))
    now = build_ast_schema(parse(ours))
    broken = [change.description for change in find_breaking_changes(owed, now)]
    return broken + [
        change.description
        for change in find_dangerous_changes(owed, now)
        if change.type is DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE
    ]


def without_a_day(sdl: str) -> list[str]:
    """Reasons of deprecations that do not say after which day the thing goes."""
    return [reason for reason in _reasons(sdl).values() if _last_day(reason) is None]


def at_short_notice(released: str, ours: str, today: date) -> list[str]:
    """Reasons of new deprecations that leave clients less than a year from a release of today."""
    known = _reasons(released)
    new = {reason for where, reason in _reasons(ours).items() if known.get(where) != reason}
    return sorted(reason for reason in new if (_last_day(reason) or today) < today + NOTICE)


class Due(Visitor):
    """Takes out of a schema what was deprecated until a day that is over."""

    def __init__(self, today: date) -> None:
        super().__init__()
        self._today = today

    def enter(self, node: Node, *_: object) -> VisitorAction:
        """Remove a field, an argument or a value whose day is over."""
        reasons = [_reason_of(one) for one in getattr(node, "directives", None) or () if one.name.value == "deprecated"]
        days = [day for day in map(_last_day, reasons) if day is not None]
        return REMOVE if days and days[0] < self._today else None


def release() -> int:
    """Let the committed schema stand for a release, unless it breaks a promise; the answer is the exit code."""
    released, ours, today = RELEASED.read_text(), COMMITTED.read_text(), datetime.now(UTC).date()
    wrong = [
        *(f"Clients of the last release would break: {one}" for one in objections(released, ours, today)),
        *(f"Does not say when it goes: {one!r}" for one in without_a_day(ours)),
        *(f"Leaves less than a year: {one!r}" for one in at_short_notice(released, ours, today)),
    ]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")  # noqa: T201  # talks to a person
    if wrong:
        return 2
    shutil.copyfile(COMMITTED, RELEASED)
    return 0


class Deprecations(Visitor):
    """Finds the reason of each deprecation, by the names that lead to what is deprecated."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[tuple[str, ...], str] = {}

    def enter(self, node: Node, _key: object, _parent: object, _path: object, ancestors: Sequence[object]) -> None:
        """Note a field, an argument or a value that is deprecated."""
        for one in getattr(node, "directives", None) or ():
            if one.name.value == "deprecated":
                self.reasons[(*_names(ancestors), *_names([node]))] = _reason_of(one)


def _reasons(sdl: str) -> dict[tuple[str, ...], str]:
    found = Deprecations()
    visit(parse(sdl), found)
    return found.reasons


def _names(nodes: Iterable[object]) -> list[str]:
    named = (getattr(node, "name", None) for node in nodes if isinstance(node, Node))
    return [name.value for name in named if isinstance(name, NameNode)]


def _reason_of(directive: DirectiveNode) -> str:
    values = [argument.value for argument in directive.arguments or ()]
    return next((value.value for value in values if isinstance(value, StringValueNode)), "")


def _last_day(reason: str) -> date | None:
    named = LAST_DAY.search(reason)
    return date.fromisoformat(named[1]) if named else None


if __name__ == "__main__":
    sys.exit(release())
