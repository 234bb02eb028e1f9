"""Keeps the product's processes running until somebody asks them to stop."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from devserver.processes import Child, Register, tail
from devserver.refusal import Refused

GIVE_UP_AFTER = 4
WITHIN_SECONDS = 30.0


@dataclass
class Service:
    """Something that is started, and started again when it ends unasked."""

    start: Callable[[], Child]
    child: Child | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=GIVE_UP_AFTER))

    def ended(self) -> bool:
        """Tell whether it has ended unasked. Raises Refused when it keeps ending."""
        if self.child is None or self.child.process.poll() is None:
            return False
        self.deaths.append(time.monotonic())
        if len(self.deaths) == GIVE_UP_AFTER and self.deaths[-1] - self.deaths[0] < WITHIN_SECONDS:
            log = self.child.log
            raise Refused(f"The {self.child.name} keeps ending; the end of {log} says:\n{tail(log)}")
        return True


class Supervisor:
    """Starts services in order, revives those that end, stops all in the reverse order."""

    def __init__(self, register: Register, tell: Callable[[str], None]) -> None:
        self._register = register
        self._tell = tell
        self._services: list[list[Service]] = []

    def start(self, *starts: Callable[[], Child]) -> list[Child]:
        """Start services that do not depend on each other; they will be stopped together. Raises Refused."""
        together: list[Service] = []
        self._services.append(together)
        for start in starts:
            service = Service(start)
            together.append(service)
            self._begin(service)
        return [service.child for service in together if service.child]

    def tend(self) -> None:
        """Revive whatever has ended since the last look. Raises Refused when something keeps ending."""
        for service in [service for together in self._services for service in together]:
            if service.ended() and (child := service.child):
                self._tell(f"The {child.name} {_manner(child.process.returncode)}; starting it again.")
                self._begin_again(service)

    def stop(self) -> None:
        """Stop everything, last started first."""
        while self._services:
            _stop_together([service.child for service in self._services.pop() if service.child])
        self._register.clear()

    def _begin_again(self, service: Service) -> None:
        try:
            self._begin(service)
        except Refused as refusal:
            self._tell(str(refusal))

    def _begin(self, service: Service) -> None:
        service.child = service.start()
        self._register.add(service.child)


def _stop_together(children: list[Child]) -> None:
    """Each waits at the same time as the others, so that the slowest one sets the pace."""
    threads = [threading.Thread(target=child.stop) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _manner(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
