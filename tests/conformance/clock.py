"""Time in a simulation, which only the test advances, only for the simulation's own organisation."""

from uuid import UUID

from runtime.database import Database


class Clock:
    """Shifts the times in the rows of one organisation."""

    organisation_id: UUID

    def __init__(self, database: Database) -> None:
        self._database = database

    def defer_other_runs(self) -> None:
        """Make the unfinished runs of earlier simulations never due."""
        self._execute("UPDATE runs SET due_at = '9999-01-01', deadline_at = NULL WHERE due_at < '9999-01-01'")

    def end_waits(self) -> None:
        """End every back-off and wait, and make sent wake-ups count as lost."""
        self._write(
            "UPDATE runs SET due_at = least(due_at, clock_timestamp()), dispatched_at = dispatched_at - interval '3 s'"
            " WHERE organisation_id = %(own)s AND lease_until IS NULL AND due_at IS NOT NULL"
        )

    def expire_attempts(self) -> None:
        """Make steps that poll exceed the time of their attempt."""
        self._write(
            "UPDATE run_steps SET attempt_started_at = attempt_started_at - interval '11 min'"
            " WHERE run_id IN (SELECT id FROM runs WHERE organisation_id = %(own)s)"
        )

    def expire_leases(self, run_id: UUID | None = None) -> None:
        """Expire the lease of this run; of every run if ``run_id`` is None."""
        self._write(
            "UPDATE runs SET lease_until = clock_timestamp(), due_at = clock_timestamp()"
            " WHERE organisation_id = %(own)s AND lease_until IS NOT NULL AND id = coalesce(%(run)s, id)",
            run=run_id,
        )

    def pass_deadline(self, tenant_id: UUID) -> None:
        """Set the deadline of the tenant's live run to now."""
        self._write(
            "UPDATE runs SET deadline_at = clock_timestamp()"
            " WHERE organisation_id = %(own)s AND tenant_id = %(tenant)s AND finished_at IS NULL",
            tenant=tenant_id,
        )

    def _write(self, statement: str, **values: object) -> None:
        self._execute(statement, own=self.organisation_id, **values)

    def _execute(self, statement: str, **values: object) -> None:
        with self._database.statements() as statements:
            statements.connection.execute(statement.encode(), values)
