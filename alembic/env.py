"""Runs migrations over a connection that is handed in, or over TENANTRY_DATABASE_URL from the command line."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection
from sqlmodel.sql.sqltypes import AutoString

import models
from runtime.database import engine_for
from runtime.migrations import exclusively
from runtime.settings import settings


def render_item(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's text type as SQLAlchemy's: a migration must not depend on what SQLModel calls it."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


def run(connection: Connection) -> None:
    """Bring the database where the command wants it, all or nothing."""
    context.configure(
        connection=connection, target_metadata=models.metadata, render_item=render_item, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


handed_in: Connection | None = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    with engine_for(settings(), "tenantry-migrate").connect() as connection, exclusively(connection):
        run(connection)
