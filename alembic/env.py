"""Runs the migrations, on the caller's connection or, from the command line, on one to TENANTRY_DATABASE_URL."""

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
    """Write SQLModel's string type as SQLAlchemy's, so that migrations do not depend on SQLModel."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    """Exclude retired columns: a generated migration must not drop them in the release that retires them."""
    return kind != "column" or (parents["table_name"], name) not in RETIRED_COLUMNS


def run(connection: Connection) -> None:
    """Run the migrations that the command selects, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        include_name=include_name,
        render_item=render_item,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with engine_for(settings(), "tenantry-migrate").connect() as connection, exclusively(connection):
        run(connection)
