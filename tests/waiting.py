"""Waiting for a condition with a deadline: for a fact, or for the other side of a race to be stopped by a lock."""

from concurrent.futures import Future
from typing import Any

import psycopg

from tests.outside import wait_until

WAITING_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def wait_until_blocked(other: Future[Any], database_url: str, *, backends: int = 1) -> None:
    """Return once the other side waits for a lock; fail at once when it went ahead instead."""

    def blocked(connection: psycopg.Connection[Any]) -> bool:
        assert not other.done(), f"the other side went ahead: {other.exception() or other.result()}"
        row = connection.execute(WAITING_FOR_A_LOCK).fetchone()
        return row is not None and row[0] >= backends

    with psycopg.connect(database_url, autocommit=True) as connection:
        wait_until(lambda: blocked(connection))
