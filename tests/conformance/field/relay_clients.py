"""Client connections through a relay or directly to its server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import redis
from psycopg.conninfo import make_conninfo

from tests.conformance.field.relay import Relay

BIG = 3_000_000
"""Bytes, more than the size of any buffer between client and server."""


def client(relay: Relay | Path, **options: object) -> redis.Redis:
    """A client without automatic retries."""
    path = relay if isinstance(relay, Path) else relay.socket_path
    return redis.Redis.from_url(f"unix://{path}", **{"retry": None, **options})


def session(relay: Relay | Path, name: str = "tenantry-worker-1") -> psycopg.Connection:
    path = relay if isinstance(relay, Path) else relay.socket_path
    return psycopg.connect(
        make_conninfo(host=str(path.parent), user="postgres", dbname="tenantry", application_name=name)
    )


@contextmanager
def connect(relay: Relay | Path, name: str = "tenantry-worker-1") -> Iterator[psycopg.Connection]:
    """A session that commits at the end of the block and closes. Psycopg alone does not close it if COMMIT fails."""
    with closing(session(relay, name)) as connection, connection:
        yield connection
