"""Receives cancels as soon as they commit, to stop the step that runs in this process."""

import logging
import socket
import time
from selectors import EVENT_READ, DefaultSelector
from uuid import UUID

import psycopg

from provisioning.events import CANCEL_CHANNEL
from runtime.database import Database
from workers.heartbeat import Heartbeat
from workers.periodic_thread import BACK_OFF_AFTER_FAILURE, PeriodicThread
from workers.presence import Presence
from workers.running_steps import RunningSteps

logger = logging.getLogger(__name__)


class CancelListener(PeriodicThread):
    """Listens on a separate connection, which also shows that this process lives.

    After a reconnect, a renewal of all leases finds the cancels that it missed.
    """

    def __init__(
        self, database: Database, running_steps: RunningSteps, heartbeat: Heartbeat, presence: Presence
    ) -> None:
        super().__init__("cancel listener")
        self._database = database
        self._running_steps = running_steps
        self._heartbeat = heartbeat
        self._presence = presence
        self._stop_sender, self._stop_receiver = socket.socketpair()

    def stop(self, timeout: float = 5.0) -> None:
        """End the wait for notifications, and the thread."""
        self.stopping.set()
        self._stop_sender.send(b"stop")
        super().stop(timeout)
        self._stop_sender.close()
        self._stop_receiver.close()

    def run_once(self) -> float:
        """Connect and listen until ``stop``, or until the connection is lost. Raises when it cannot connect."""
        with self._database.listen() as connection, self._presence.shown_on(connection):
            began = time.monotonic()
            try:
                self._listen(connection)
            except psycopg.OperationalError as error:
                logger.warning("connection for cancels lost, reconnecting", extra={"cause": str(error).strip()})
        # The first attempt at once: while the connection is lost, other processes may take this one for dead.
        return 0.0 if time.monotonic() - began > BACK_OFF_AFTER_FAILURE else BACK_OFF_AFTER_FAILURE

    def _listen(self, connection: "psycopg.Connection[object]") -> None:
        connection.execute(f"LISTEN {CANCEL_CHANNEL}")
        self._heartbeat.renew()
        with DefaultSelector() as selector:
            selector.register(connection.fileno(), EVENT_READ)
            selector.register(self._stop_receiver, EVENT_READ)
            while not self.stopping.is_set():
                # Before each wait: what arrived with the answer to a statement does not end the wait.
                self._receive(connection)
                selector.select()

    def _receive(self, connection: "psycopg.Connection[object]") -> None:
        for notice in connection.notifies(timeout=0):
            self._running_steps.cancel(UUID(notice.payload))
