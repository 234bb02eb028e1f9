"""The check that a change of the schema breaks no client of the last release."""

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
"""The schema of the last release; before the first release, the contract that it has to keep."""

NOTICE = timedelta(days=365)
"""Time between a release with a deprecation and the last day of the deprecated name."""

LAST_DAY = re.compile(r"Goes after (\d{4}-\d{2}-\d{2})\.$")
"""The end of the reason of every deprecation."""


def breaking_changes(released: str, ours: str, today: date) -> list[str]:
    """Changes that break a client of the release, a sentence each."""
    before = build_ast_schema(visit(parse(released), ExpiredRemover(today)))
    after = build_ast_schema(parse(ours))
    broken = [change.description for change in find_breaking_changes(before, after)]
    return broken + [
        change.description
        for change in find_dangerous_changes(before, after)
        if change.type is DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE
    ]


def deprecations_without_last_day(sdl: str) -> list[str]:
    """Reasons of deprecations that do not end with their last day."""
    return [reason for reason in _reasons(sdl).values() if _last_day(reason) is None]


def deprecations_at_short_notice(released: str, ours: str, today: date) -> list[str]:
    """Reasons of new deprecations with a last day in less than a year from ``today``, the day of the release."""
    known = _reasons(released)
    new = {reason for where, reason in _reasons(ours).items() if known.get(where) != reason}
    return sorted(reason for reason in new if (_last_day(reason) or today) < today + NOTICE)


class ExpiredRemover(Visitor):
    """Removes from a schema what was deprecated and has passed its last day."""

    def __init__(self, today: date) -> None:
        super().__init__()
        self._today = today

    def enter(self, node: Node, *_: object) -> VisitorAction:
        """Remove a field, an argument or a value that has passed its last day."""
        reasons = [_reason_of(one) for one in getattr(node, "directives", None) or () if one.name.value == "deprecated"]
        days = [day for day in map(_last_day, reasons) if day is not None]
        return REMOVE if days and days[0] < self._today else None


def release() -> int:
    """Make the committed schema the released one, unless it breaks clients. Returns the exit code."""
    released, ours, today = RELEASED.read_text(), COMMITTED.read_text(), datetime.now(UTC).date()
    wrong = [
        *(f"Breaks clients of the last release: {one}" for one in breaking_changes(released, ours, today)),
        *(
            f"Deprecation without a last day: {one!r}. End its reason with 'Goes after YYYY-MM-DD.'"
            for one in deprecations_without_last_day(ours)
        ),
        *(
            f"Deprecation with less than a year of notice: {one!r}"
            for one in deprecations_at_short_notice(released, ours, today)
        ),
    ]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")  # noqa: T201  # output of a command
    if wrong:
        return 2
    shutil.copyfile(COMMITTED, RELEASED)
    return 0


class DeprecationFinder(Visitor):
    """Collects the reason of each deprecation by the path of names of the deprecated node."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: dict[tuple[str, ...], str] = {}

    def enter(self, node: Node, _key: object, _parent: object, _path: object, ancestors: Sequence[object]) -> None:
        """Collect the reason of a deprecated field, argument or value."""
        for one in getattr(node, "directives", None) or ():
            if one.name.value == "deprecated":
                self.reasons[(*_names(ancestors), *_names([node]))] = _reason_of(one)


def _reasons(sdl: str) -> dict[tuple[str, ...], str]:
    found = DeprecationFinder()
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
