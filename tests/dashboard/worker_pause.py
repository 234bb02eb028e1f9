"""An HTTP endpoint that pauses the product's workers, so that a browser test can act while no run makes progress."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import psycopg

from runtime.settings import settings

WORKER = ["-m", "workers"]
"""The arguments of a worker process."""

OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'tenantry-worker' AND xact_start IS NOT NULL
"""
TIMEOUT = 20.0
"""Seconds until a pause fails."""


class WorkerPause:
    """Stops the worker processes while at least one test wants a pause."""

    def __init__(self) -> None:
        self._workers = [process for process in psutil.Process().children() if process.cmdline()[1:3] == WORKER]
        if not self._workers:
            raise RuntimeError("No worker process found among the children of this process.")
        self._lock = threading.Lock()
        self._tests = 0

    def pause(self) -> None:
        """Stop the workers between their transactions, as an open one may hold locks for which the API would wait."""
        with self._lock:
            if self._tests == 0:
                self._stop()
            self._tests += 1

    def resume(self) -> None:
        with self._lock:
            self._tests -= 1
            if self._tests == 0:
                self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send_signal(number)

    def _stop(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        with psycopg.connect(settings().database_url, autocommit=True) as connection:
            self.signal(signal.SIGSTOP)
            while _open_transactions(connection):
                self.signal(signal.SIGCONT)
                while _open_transactions(connection):
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"The workers have had open transactions for {TIMEOUT} s.")
                self.signal(signal.SIGSTOP)


def _open_transactions(connection: psycopg.Connection) -> int:
    row = connection.execute(OPEN_TRANSACTIONS).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def running_worker_pause() -> Iterator[str]:
    """Serve `POST /pause` and `POST /resume` for the length of the block; the value is the address."""
    pauses = WorkerPause()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            act = {"/pause": pauses.pause, "/resume": pauses.resume}[self.path]
            act()
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(5)
            # A test that was ended in a pause did not resume the workers, and a stopped process does not end.
            pauses.signal(signal.SIGCONT)
