"""Migrates the database in one process at a time, with short lock timeouts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from runtime.database import engine_for
from runtime.programs import OperatorError
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ADVISORY_LOCK = 0x7E4A47
"""Key of the lock that a migrating process holds. The number is arbitrary."""

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "60s"


class MigrationRefused(OperatorError):
    """The requested migration is not possible. The message is one sentence for an operator."""


def migrate(settings: Settings, revision: str = "head") -> tuple[str | None, str | None]:
    """Upgrade (or downgrade, when ``revision`` is older) the database. Waits while another process migrates.

    Returns the revisions of the database before and after, None for an empty one. Raises MigrationRefused.
    """
    engine = engine_for(settings, "tenantry-migrate")
    try:
        with engine.connect() as connection, exclusively(connection):
            config = _config()
            config.attributes["connection"] = connection
            before = current(connection)
            _refuse_a_newer_database(config, before)
            _migrate_or_refuse(config, connection, revision)
            connection.commit()
            return before, current(connection)
    finally:
        engine.dispose()


def at_head(connection: Connection) -> bool:
    """Whether the database is at the newest revision of this release."""
    return current(connection) == head()


def current(connection: Connection) -> str | None:
    """The revision of the database; None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The newest revision of this release."""
    return ScriptDirectory.from_config(_config()).get_current_head()


@contextmanager
def exclusively(connection: Connection) -> Iterator[None]:
    """Hold the migration lock and set the timeouts until the end of the block. Commits an open transaction."""
    connection.execute(text("SELECT set_config('statement_timeout', '0', false)"))
    connection.execute(text("SELECT set_config('lock_timeout', '0', false)"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    connection.execute(text("SELECT set_config('statement_timeout', :limit, false)"), {"limit": STATEMENT_TIMEOUT})
    connection.execute(text("SELECT set_config('lock_timeout', :limit, false)"), {"limit": LOCK_TIMEOUT})
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


def _refuse_a_newer_database(config: Config, at: str | None) -> None:
    if at is not None and not _knows(config, at):
        raise MigrationRefused(
            f"The database is at revision {at}, which this release does not know: a newer release migrated it. "
            "Start that release, or downgrade with it (python -m server migrate --to <a revision of this release>)."
        )


def _knows(config: Config, revision: str) -> bool:
    try:
        return ScriptDirectory.from_config(config).get_revision(revision) is not None
    except CommandError:
        return False


def _migrate_or_refuse(config: Config, connection: Connection, revision: str) -> None:
    try:
        _go(config, connection, revision)
    except (CommandError, RevisionError) as error:
        reason = str(error).removesuffix(".")
        raise MigrationRefused(
            f"The database cannot be migrated to revision {revision!r} ({reason}): "
            "choose a revision of alembic/versions, head or base."
        ) from error
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        raise MigrationRefused(
            f"The login of TENANTRY_DATABASE_URL may not migrate the database ({error.orig.diag.message_primary}): "
            "make it the owner of the database and of the tables in it, then migrate again."
        ) from error


def _go(config: Config, connection: Connection, revision: str) -> None:
    target = head() if revision == "head" else revision
    script = ScriptDirectory.from_config(config)
    behind = {step.revision for step in script.iterate_revisions(current(connection), "base")}
    connection.rollback()
    if revision == "base" or (target in behind and target != current(connection)):
        connection.rollback()
        command.downgrade(config, revision)
    else:
        connection.rollback()
        command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "alembic").replace("%", "%%"))
    return config
