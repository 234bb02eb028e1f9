"""Runs migrations over a connection that is handed in, or over TENANTRY_DATABASE_URL from the command line."""

from collections.abc import Mapping
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection
from sqlmodel.sql.sqltypes import AutoString

import models
from models.columns import RETIRED_COLUMNS
from runtime.database import engine_for
from runtime.migrations import exclusively
from runtime.settings import settings


def render_item(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's text type as SQLAlchemy's: a migration must not depend on what SQLModel calls it."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    """Leave retired columns alone: a draft must not drop them in the release that retires them."""
    return kind != "column" or (parents["table_name"], name) not in RETIRED_COLUMNS


def run(connection: Connection) -> None:
    """Bring the database where the command wants it, all or nothing."""
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        include_name=include_name,
        render_item=render_item,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_in: Connection | None = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    with engine_for(settings(), "tenantry-migrate").connect() as connection, exclusively(connection):
        run(connection)
