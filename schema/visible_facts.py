"""The facts of an event that a caller may see."""

from collections.abc import Mapping
from typing import Any

from access.permissions import Identity

PERSONAL = frozenset({"first_admin_email"})
"""Keys of ``data`` that are left out for callers without the right to see first administrators."""

ACTORS = frozenset({"requested_by", "cancelled_by", "by"})
"""Keys of ``data`` that are left out when they have the address of a person that the caller may not see."""


def visible_facts(facts: Mapping[str, Any], caller: Identity) -> dict[str, Any]:
    """The facts that the caller may see: without the addresses of others, at every depth."""
    return {name: _visible(value, caller) for name, value in facts.items() if not _is_hidden(name, value, caller)}


def _visible(value: object, caller: Identity) -> object:
    match value:
        case Mapping():
            return visible_facts(value, caller)
        case list():
            return [_visible(one, caller) for one in value]
        case _:
            return value


def _is_hidden(name: str, value: object, caller: Identity) -> bool:
    if name in PERSONAL:
        return not caller.sees_first_admins
    is_address = name in ACTORS and isinstance(value, str) and "@" in value
    return is_address and not caller.manages_members and value != caller.actor.email
