"""The tables of every tenant, as an append-only list of versions: a released version never changes."""

from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import Connection


@dataclass(frozen=True, slots=True)
class Version:
    """One migration of a tenant's schema."""

    number: int
    title: str
    statements: tuple[LiteralString, ...]


VERSIONS = (
    Version(
        1,
        "People and their sessions",
        (
            """
            CREATE TABLE users (
                id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                email text NOT NULL CHECK (char_length(email) <= 254),
                name text NOT NULL DEFAULT '',
                created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                disabled_at timestamptz
            )
            """,
            "CREATE UNIQUE INDEX one_user_per_address ON users (lower(email))",
            """
            CREATE TABLE sessions (
                id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
                token_digest bytea NOT NULL UNIQUE,
                created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                expires_at timestamptz NOT NULL CHECK (expires_at > created_at)
            )
            """,
            "CREATE INDEX sessions_of_a_user ON sessions (user_id)",
        ),
    ),
    Version(
        2,
        "What happened",
        (
            """
            CREATE TABLE audit_log (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                user_id uuid REFERENCES users ON DELETE SET NULL,
                action text NOT NULL CHECK (action <> ''),
                details jsonb NOT NULL DEFAULT '{}',
                happened_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """,
            "CREATE INDEX audit_log_newest_first ON audit_log (happened_at DESC, id DESC)",
        ),
    ),
)

LEDGER: LiteralString = """
CREATE TABLE IF NOT EXISTS schema_version (
    number integer PRIMARY KEY,
    title text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


def migrate(connection: Connection[Any]) -> None:
    """Apply the missing versions, atomically in the caller's transaction, which has set role and search_path."""
    connection.execute(LEDGER)
    applied = {number for (number,) in connection.execute("SELECT number FROM schema_version")}
    for version in VERSIONS:
        if version.number not in applied:
            _apply(connection, version)


def _apply(connection: Connection[Any], version: Version) -> None:
    for statement in version.statements:
        connection.execute(statement)
    connection.execute("INSERT INTO schema_version (number, title) VALUES (%s, %s)", [version.number, version.title])
