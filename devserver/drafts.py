"""Drafts a migration: what the models say beyond what the migrations make, on a Postgres that exists for a minute."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config

from devserver import places
from devserver.refusal import Refused
from devserver.servers import FAST, Postgres
from runtime.migrations import migrate
from runtime.settings import settings


def draft(name: str) -> int:
    """Write a new file into alembic/versions. Raises Refused without a name."""
    if not name.strip():
        raise Refused('Say what the migration does: make migration NAME="add webhooks".')
    with _empty_postgres() as url:
        os.environ |= {
            "TENANTRY_DATABASE_URL": url,
            "TENANTRY_REDIS_URL": "redis://unused",
            "TENANTRY_SECRET_KEY": "x" * 32,
        }
        migrate(settings())
        command.revision(Config("alembic.ini"), message=name, autogenerate=True)
    return 0


@contextmanager
def _empty_postgres() -> Iterator[str]:
    with places.temporary() as folder:
        server = Postgres(places.settle(folder), FAST)
        child = server.start()
        try:
            server.create_database("draft")
            yield server.url("draft")
        finally:
            child.stop()
