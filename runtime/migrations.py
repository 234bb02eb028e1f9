"""Bringing the database to the newest schema: one process at a time, and never for long under a lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, text

from runtime.database import engine_for
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ADVISORY_LOCK = 0x7E4A47
"""Whoever migrates holds it; any number does."""

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "60s"


class MigrationRefused(Exception):
    """There is no way from here to there. The message is one sentence for an operator."""


def migrate(settings: Settings, revision: str = "head") -> None:
    """Go up (or down, when ``revision`` lies behind) to a revision. Waits while another process migrates.

    Raises MigrationRefused.
    """
    engine = engine_for(settings, "tenantry-migrate")
    try:
        with engine.connect() as connection, exclusively(connection):
            config = _config()
            config.attributes["connection"] = connection
            _refuse_a_newer_database(config, connection)
            _try_to_go(config, connection, revision)
            connection.commit()
    finally:
        engine.dispose()


def at_head(connection: Connection) -> bool:
    """Whether the database has exactly the schema that this release was written for."""
    return current(connection) == head()


def current(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The newest revision of this release."""
    return ScriptDirectory.from_config(_config()).get_current_head()


@contextmanager
def exclusively(connection: Connection) -> Iterator[None]:
    """Hold the migrators' lock and their limits for the length of the block. Commits what was begun before."""
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


def _refuse_a_newer_database(config: Config, connection: Connection) -> None:
    at = current(connection)
    if at is not None and not _knows(config, at):
        raise MigrationRefused(
            f"The database is at revision {at}, which this release does not know, so a newer one migrated it: "
            "start that one, or go down with it first (python -m server migrate --to <a revision of this release>)."
        )


def _knows(config: Config, revision: str) -> bool:
    try:
        return ScriptDirectory.from_config(config).get_revision(revision) is not None
    except CommandError:
        return False


def _try_to_go(config: Config, connection: Connection, revision: str) -> None:
    try:
        _go(config, connection, revision)
    except (CommandError, RevisionError) as error:
        reason = str(error).removesuffix(".")
        raise MigrationRefused(
            f"The database cannot go to revision {revision!r} ({reason}): name one from alembic/versions, head or base."
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
    config.set_main_option("script_location", str(ROOT / "alembic"))
    return config
