"""Makes chosen calls of adapters slow, fail before or after their effect, or hang: for tests and demonstrations."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from provisioning.ports import PORTS, Infrastructure, StopToken

POLL_INTERVAL = 0.05
"""Seconds."""

STOP_TOKEN_POSITION = 1
"""Index of the stop token among the arguments of the ports' interruptible methods."""


class Fault(Exception):
    """An injected failure."""

    def __init__(self, call: str, *, after: bool) -> None:
        super().__init__(f"{call} failed {'after' if after else 'before'} its effect: this failure was injected.")


@dataclass
class PlannedFault:
    """What happens to the next ``times`` calls of one method."""

    before: Callable[[StopToken | None], None]
    after: Callable[[StopToken | None], None]
    times: int


class Faults:
    """Faults by call, named by port and method: ``faults.fail("deployer.deploy", times=2, after=True)``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: dict[str, list[PlannedFault]] = {}
        self._released = threading.Event()
        self.calls: list[str] = []

    def wrap(self, infrastructure: Infrastructure) -> Infrastructure:
        """Return the same infrastructure, with these faults injected into its calls."""
        return infrastructure.intercepted(self.perform)

    def fail(self, call: str, *, times: int = 1, after: bool = False, error: Exception | None = None) -> None:
        """Make the call raise: before its effect, or, with ``after``, after it, which the caller cannot tell apart."""

        def raise_error(_: StopToken | None) -> None:
            raise error or Fault(call, after=after)

        self._add(call, raise_error, times, after=after)

    def delay(self, call: str, seconds: float, *, times: int = 1, after: bool = False) -> None:
        """Make the call take longer, before or after its effect. A stop ends the delay if the port is interruptible."""

        def wait(stop_token: StopToken | None) -> None:
            stop_token.sleep(seconds) if stop_token else self._released.wait(seconds)

        self._add(call, wait, times, after=after)

    def hang(self, call: str, *, times: int = 1, after: bool = False) -> None:
        """Make the call hang until its stop token is set, or until ``release_all``."""

        def block(stop_token: StopToken | None) -> None:
            while not self._released.wait(POLL_INTERVAL):
                if stop_token:
                    stop_token.checkpoint()

        self._add(call, block, times, after=after)

    def release_all(self) -> None:
        """End every hanging call and every delay of a call without a stop token. No call hangs from now on."""
        self._released.set()

    def clear(self) -> None:
        """Remove every fault that has not been injected yet."""
        with self._lock:
            self._planned.clear()

    def perform(self, call: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Make the call with its next planned fault, if any."""
        fault = self._next(call)
        stop_token = cast("StopToken", args[STOP_TOKEN_POSITION]) if _interruptible(args) else None
        fault.before(stop_token)
        result = method(*args)
        fault.after(stop_token)
        return result

    def _add(self, call: str, effect: Callable[[StopToken | None], None], times: int, *, after: bool) -> None:
        port, method = call.split(".")
        # Raises for a misspelt call: its fault would never be injected, and the test would prove nothing.
        getattr(PORTS[port], method)
        fault = PlannedFault(_nothing, effect, times) if after else PlannedFault(effect, _nothing, times)
        with self._lock:
            self._planned.setdefault(call, []).append(fault)

    def _next(self, call: str) -> PlannedFault:
        with self._lock:
            self.calls.append(call)
            waiting = [fault for fault in self._planned.get(call, []) if fault.times > 0]
            if not waiting:
                return NO_FAULT
            waiting[0].times -= 1
            return waiting[0]


def _nothing(_: StopToken | None) -> None:
    """Do nothing to the call."""


def _interruptible(args: tuple[Any, ...]) -> bool:
    return len(args) > STOP_TOKEN_POSITION and hasattr(args[STOP_TOKEN_POSITION], "checkpoint")


NO_FAULT = PlannedFault(_nothing, _nothing, 0)
