"""Waiting with a deadline until a condition holds, or until the other side of a race waits for a lock."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg

LOCK_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
LOCK_WAITS_IN_THIS_DATABASE = f"{LOCK_WAITS} AND datname = current_database()"


def wait_until(condition: Callable[[], object], *, within: float = 10.0) -> None:
    """Poll the condition until it holds; fail after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {within} s"
        time.sleep(0.01)  # between two polls of the condition, never instead of one


def wait_until_blocked(other: Future[Any], database_url: str, *, backends: int = 1) -> None:
    """Return when this many backends wait for a lock; fail at once when the other side has finished instead."""

    def blocked(connection: psycopg.Connection[Any]) -> bool:
        assert not other.done(), f"the other side did not wait for the lock: {other.exception() or other.result()}"
        row = connection.execute(LOCK_WAITS_IN_THIS_DATABASE.encode()).fetchone()
        return row is not None and row[0] >= backends

    with psycopg.connect(database_url, autocommit=True) as connection:
        wait_until(lambda: blocked(connection))


def lock_waits(database_url: str) -> int:
    """The number of backends of the server that wait for a lock."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(LOCK_WAITS).fetchone()
    assert row is not None
    return int(row[0])
