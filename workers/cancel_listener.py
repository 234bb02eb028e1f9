"""Receives cancels as soon as they commit, to stop the step that runs in this process."""

import logging
from uuid import UUID

import psycopg

from provisioning.events import CANCEL_CHANNEL
from runtime.database import Database
from workers.heartbeat import Heartbeat
from workers.periodic_thread import PeriodicThread
from workers.running_steps import RunningSteps

logger = logging.getLogger(__name__)

LISTEN_FOR = 0.5
"""Seconds of one wait, after which the listener checks whether to stop."""


class CancelListener(PeriodicThread):
    """Listens on a separate connection. After a reconnect, a renewal of all leases finds the cancels that it missed."""

    def __init__(self, database: Database, running_steps: RunningSteps, heartbeat: Heartbeat) -> None:
        super().__init__("cancel listener")
        self._database = database
        self._running_steps = running_steps
        self._heartbeat = heartbeat

    def run_once(self) -> float:
        """Connect and listen until ``stop``. Raises when the connection is lost."""
        with self._database.listen() as connection:
            connection.execute(f"LISTEN {CANCEL_CHANNEL}")
            self._heartbeat.renew()
            while not self.stopping.is_set():
                self._receive(connection)
        return 0.0

    def _receive(self, connection: "psycopg.Connection[object]") -> None:
        for notice in connection.notifies(timeout=LISTEN_FOR):
            self._running_steps.cancel(UUID(notice.payload))
