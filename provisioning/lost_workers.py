"""The session locks of Postgres that live workers hold. Such a lock ends with its connection."""

from collections.abc import Collection
from dataclasses import dataclass

MARK = "#"
"""Is in the name of an owner that holds a session lock. The loss of any other owner is known by its leases only."""

HELD_KEYS = """
    SELECT classid::bigint << 32 | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The keys of the advisory locks of this database's sessions. Postgres shows the halves of a key in two columns."""


@dataclass(frozen=True, slots=True)
class WorkerLocks:
    """The session locks of workers at one moment.

    ``missing``: the other owners of current leases that are marked and hold no lock. ``own_is_held``: whether the
    worker that asks holds its own; always False while there is no other marked owner.
    """

    missing: Collection[str]
    own_is_held: bool


def lock_key(owner: str) -> str:
    """The key of the session lock of the owner that this SQL expression names, as SQL."""
    return f"hashtextextended('tenantry worker ' || {owner}, 0)"
