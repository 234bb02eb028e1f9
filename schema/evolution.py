"""How the schema may change: what was released stays, or goes after the day that its deprecation named."""

import re
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from graphql import (
    REMOVE,
    DangerousChangeType,
    DirectiveNode,
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
DEPRECATED = re.compile(r'@deprecated(?:\(reason: "((?:[^"\\]|\\.)*)"\))?')
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
    return [reason for reason in _reasons(sdl) if _last_day(reason) is None]


def at_short_notice(released: str, ours: str, today: date) -> list[str]:
    """Reasons of new deprecations that leave clients less than a year from a release of today."""
    new = set(_reasons(ours)) - set(_reasons(released))
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


def _reasons(sdl: str) -> list[str]:
    return DEPRECATED.findall(sdl)


def _reason_of(directive: DirectiveNode) -> str:
    values = [argument.value for argument in directive.arguments or ()]
    return next((value.value for value in values if isinstance(value, StringValueNode)), "")


def _last_day(reason: str) -> date | None:
    named = LAST_DAY.search(reason)
    return date.fromisoformat(named[1]) if named else None


if __name__ == "__main__":
    sys.exit(release())
