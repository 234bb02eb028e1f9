"""Keeps the product's processes running until they are stopped."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from devserver.errors import DevserverError
from devserver.processes import Child, Register, tail

MAX_DEATHS = 4
DEATHS_WITHIN = 30.0
"""Seconds. A service that ends this often within this time is not restarted again."""


@dataclass
class Service:
    """A child process that is restarted when it ends by itself."""

    start: Callable[[], Child]
    child: Child | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_DEATHS))

    def ended(self) -> bool:
        """Whether it has ended by itself. Raises DevserverError when it keeps ending."""
        if self.child is None or self.child.process.poll() is None:
            return False
        self.deaths.append(time.monotonic())
        if len(self.deaths) == MAX_DEATHS and self.deaths[-1] - self.deaths[0] < DEATHS_WITHIN:
            log = self.child.log
            raise DevserverError(f"The {self.child.name} keeps ending. Its log {log} ends with:\n{tail(log)}")
        return True


class Supervisor:
    """Starts services in order, restarts those that end, and stops all in the reverse order."""

    def __init__(self, register: Register, report: Callable[[str], None]) -> None:
        self._register = register
        self._report = report
        self._services: list[list[Service]] = []

    def start(self, *starts: Callable[[], Child]) -> list[Child]:
        """Start services that do not depend on each other. They are stopped together. Raises DevserverError."""
        together: list[Service] = []
        self._services.append(together)
        for start in starts:
            service = Service(start)
            together.append(service)
            self._start(service)
        return [service.child for service in together if service.child]

    def restart_ended(self) -> None:
        """Restart the services that have ended. Raises DevserverError when one keeps ending."""
        for service in [service for together in self._services for service in together]:
            if service.ended() and (child := service.child):
                self._report(f"The {child.name} {_cause(child.process.returncode)}. Restarting it.")
                self._restart(service)

    def stop(self) -> None:
        """Stop all services, the last started first."""
        while self._services:
            _stop_together([service.child for service in self._services.pop() if service.child])
        self._register.clear()

    def _restart(self, service: Service) -> None:
        try:
            self._start(service)
        except DevserverError as refusal:
            self._report(str(refusal))

    def _start(self, service: Service) -> None:
        service.child = service.start()
        self._register.add(service.child)


def _stop_together(children: list[Child]) -> None:
    """Stop all at the same time, so that this takes as long as the slowest one."""
    threads = [threading.Thread(target=child.stop) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was stopped by {signal.Signals(-code).name}"
    return f"ended with code {code}"
