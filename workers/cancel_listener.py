"""Hears of cancels the moment they commit, and tells the step that is running here."""

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
"""Seconds in one go, so that a stop is noticed."""


class CancelListener(PeriodicThread):
    """LISTEN on a connection of its own. What it misses while that is down, a renewal right after it is back tells."""

    def __init__(self, database: Database, running_steps: RunningSteps, heartbeat: Heartbeat) -> None:
        super().__init__("cancel listener")
        self._database = database
        self._running_steps = running_steps
        self._heartbeat = heartbeat

    def run_once(self) -> float:
        """Connect and listen until told to stop; raises when the connection breaks."""
        with self._database.listen() as connection:
            connection.execute(f"LISTEN {CANCEL_CHANNEL}")
            self._heartbeat.renew()
            while not self.stopping.is_set():
                self._receive(connection)
        return 0.0

    def _receive(self, connection: "psycopg.Connection[object]") -> None:
        for notice in connection.notifies(timeout=LISTEN_FOR):
            self._running_steps.cancel(UUID(notice.payload))
