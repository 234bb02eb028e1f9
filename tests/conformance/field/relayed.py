"""Connections that go through a relay, or past it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import redis
from psycopg.conninfo import make_conninfo

from tests.conformance.field.relay import Relay

BIG = 3_000_000
"""Bytes: more than any buffer on the way holds."""


def client(relay: Relay | Path, **more: object) -> redis.Redis:
    """A client that does not try again by itself."""
    path = relay if isinstance(relay, Path) else relay.listen
    return redis.Redis.from_url(f"unix://{path}", **{"retry": None, **more})


def session(relay: Relay | Path, name: str = "tenantry-worker-1") -> psycopg.Connection:
    path = relay if isinstance(relay, Path) else relay.listen
    return psycopg.connect(
        make_conninfo(host=str(path.parent), user="postgres", dbname="tenantry", application_name=name)
    )


@contextmanager
def connect(relay: Relay | Path, name: str = "tenantry-worker-1") -> Iterator[psycopg.Connection]:
    """A session that commits at the end of the block. Psycopg itself leaves one open whose commit failed."""
    with closing(session(relay, name)) as connection, connection:
        yield connection
