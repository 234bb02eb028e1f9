"""A database of one test or module, on the server of its test process."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql


@contextmanager
def scratch_database(database_url: str) -> Iterator[str]:
    """Create an empty database beside the given one, and drop it even while clients are connected."""
    name = f"scratch_{uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield _with_database(database_url, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _with_database(url: str, database: str) -> str:
    renamed = urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
    # A URL without a host keeps its empty host: postgresql:///name?host=/socket.
    return renamed if "://" in renamed else renamed.replace("postgresql:", "postgresql://", 1)
