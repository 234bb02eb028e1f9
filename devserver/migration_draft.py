"""Drafts a migration for the changes of the models, on a temporary Postgres."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config

from devserver import directories
from devserver.errors import DevserverError
from devserver.servers import FAST, Postgres
from runtime.migrations import migrate
from runtime.settings import settings


def draft(name: str) -> int:
    """Write a new file to alembic/versions. Raises DevserverError when the name is empty."""
    if not name.strip():
        raise DevserverError('The migration has no name. Say what it does: make migration NAME="add webhooks".')
    with _empty_postgres() as url:
        os.environ |= {
            "TENANTRY_DATABASE_URL": url,
            "TENANTRY_REDIS_URL": "redis://unused",
            "TENANTRY_SECRET_KEY": secrets.token_hex(),
        }
        migrate(settings())
        command.revision(Config("alembic.ini"), message=name, autogenerate=True)
    return 0


@contextmanager
def _empty_postgres() -> Iterator[str]:
    with directories.temporary() as folder:
        server = Postgres(directories.prepare(folder), FAST)
        child = server.start()
        try:
            server.create_database("draft")
            yield server.url("draft")
        finally:
            child.stop()
