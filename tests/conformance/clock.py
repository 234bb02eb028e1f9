"""Time in a simulation: it passes when the story says so, and for nobody but the story's own organisation."""

from uuid import UUID

from sqlalchemy import text

from runtime.database import Database


class Clock:
    """Moves the times in an organisation's rows."""

    organisation_id: UUID

    def __init__(self, database: Database) -> None:
        self._quiet = database

    def put_off_everything_else(self) -> None:
        """What earlier stories left unfinished is never due again."""
        with self._quiet.transaction() as session:
            session.execute(
                text("UPDATE runs SET due_at = '9999-01-01', deadline_at = NULL WHERE due_at < '9999-01-01'")
            )

    def wait(self) -> None:
        """Back-offs and waits are over, and wake-ups count as lost."""
        self._write(
            "UPDATE runs SET due_at = least(due_at, clock_timestamp()), dispatched_at = dispatched_at - interval '3 s'"
            " WHERE organisation_id = :own AND lease_until IS NULL AND due_at IS NOT NULL"
        )

    def wait_long(self) -> None:
        """Attempts that wait for their next look are out of time."""
        self._write(
            "UPDATE run_steps SET attempt_started_at = attempt_started_at - interval '11 min'"
            " WHERE run_id IN (SELECT id FROM runs WHERE organisation_id = :own)"
        )

    def lapse(self, run_id: UUID | None = None) -> None:
        """The lease of whoever owns this run ends now; of everybody when none is named."""
        self._write(
            "UPDATE runs SET lease_until = clock_timestamp(), due_at = clock_timestamp()"
            " WHERE organisation_id = :own AND lease_until IS NOT NULL AND id = coalesce(:run, id)",
            run=run_id,
        )

    def pass_deadline(self, tenant_id: UUID) -> None:
        self._write(
            "UPDATE runs SET deadline_at = clock_timestamp()"
            " WHERE organisation_id = :own AND tenant_id = :tenant AND finished_at IS NULL",
            tenant=tenant_id,
        )

    def _write(self, statement: str, **values: object) -> None:
        with self._quiet.transaction() as session:
            session.execute(text(statement), {"own": self.organisation_id, **values})
