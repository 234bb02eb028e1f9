"""Wraps any world and lets chosen calls be late, fail before or after their effect, or hang. For tests and demos."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from provisioning.ports import Deployer, Identity, Infrastructure, Mailer, StopToken, Storage, Traffic

LOOK_EVERY = 0.05
POSITION_OF_PATIENCE = 1
"""Of the ports' methods, those that can be interrupted take (what it is about, patience)."""


class Fault(Exception):
    """The failure that was asked for."""

    def __init__(self, call: str, *, after: bool) -> None:
        super().__init__(f"{call} failed {'after' if after else 'before'} its effect, as it was told to.")


@dataclass
class Trouble:
    """What happens to the next ``times`` calls of one method."""

    before: Callable[[StopToken | None], None]
    after: Callable[[StopToken | None], None]
    times: int


class Faults:
    """Names a call by its port and method: ``faults.fail("deployer.deploy", times=2, after=True)``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._troubles: dict[str, list[Trouble]] = {}
        self._let_go = threading.Event()
        self.calls: list[str] = []

    def wrap(self, infrastructure: Infrastructure) -> Infrastructure:
        """Give the same world, with these faults in front of it."""
        return Infrastructure(
            storage=cast("Storage", Port("storage", infrastructure.storage, self)),
            identity=cast("Identity", Port("identity", infrastructure.identity, self)),
            traffic=cast("Traffic", Port("traffic", infrastructure.traffic, self)),
            deployer=cast("Deployer", Port("deployer", infrastructure.deployer, self)),
            mailer=cast("Mailer", Port("mailer", infrastructure.mailer, self)),
        )

    def fail(self, call: str, *, times: int = 1, after: bool = False, error: Exception | None = None) -> None:
        """Let it fail, without its effect or, ``after``, with it: then the caller cannot know."""

        def strike(_: StopToken | None) -> None:
            raise error or Fault(call, after=after)

        self._add(call, Trouble(_nothing, strike, times) if after else Trouble(strike, _nothing, times))

    def delay(self, call: str, seconds: float, *, times: int = 1, after: bool = False) -> None:
        """Let it take longer, before or after its effect. It stops early where the port is interruptible."""

        def tarry(stop_token: StopToken | None) -> None:
            stop_token.sleep(seconds) if stop_token else self._let_go.wait(seconds)

        self._add(call, Trouble(_nothing, tarry, times) if after else Trouble(tarry, _nothing, times))

    def hang(self, call: str, *, times: int = 1, after: bool = False) -> None:
        """Let it not return until its patience is told to stop, or until ``let_go``."""

        def hold(stop_token: StopToken | None) -> None:
            while not self._let_go.wait(LOOK_EVERY):
                if stop_token:
                    stop_token.checkpoint()

        self._add(call, Trouble(_nothing, hold, times) if after else Trouble(hold, _nothing, times))

    def let_go(self) -> None:
        """End every hanging call and every delay that nothing else can end; none hangs from now on."""
        self._let_go.set()

    def heal(self) -> None:
        """Forget every fault that has not struck yet."""
        with self._lock:
            self._troubles.clear()

    def perform(self, call: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Call it, in whatever trouble it is in."""
        trouble = self._next(call)
        stop_token = cast("StopToken", args[POSITION_OF_PATIENCE]) if _interruptible(args) else None
        trouble.before(stop_token)
        result = method(*args)
        trouble.after(stop_token)
        return result

    def _add(self, call: str, trouble: Trouble) -> None:
        port, method = call.split(".")
        # A misspelt call would never be struck, and the test that asked for it would prove nothing.
        getattr(PORTS[port], method)
        with self._lock:
            self._troubles.setdefault(call, []).append(trouble)

    def _next(self, call: str) -> Trouble:
        with self._lock:
            self.calls.append(call)
            waiting = [trouble for trouble in self._troubles.get(call, []) if trouble.times > 0]
            if not waiting:
                return UNTROUBLED
            waiting[0].times -= 1
            return waiting[0]


class Port:
    """Stands before one port and passes every method on."""

    def __init__(self, name: str, port: object, faults: Faults) -> None:
        self._name = name
        self._port = port
        self._faults = faults

    def __getattr__(self, method: str) -> Callable[..., object]:
        genuine: Callable[..., object] = getattr(self._port, method)
        return lambda *args: self._faults.perform(f"{self._name}.{method}", genuine, args)


def _nothing(_: StopToken | None) -> None:
    """Leave the call alone."""


def _interruptible(args: tuple[Any, ...]) -> bool:
    return len(args) > POSITION_OF_PATIENCE and hasattr(args[POSITION_OF_PATIENCE], "checkpoint")


PORTS = {"storage": Storage, "identity": Identity, "traffic": Traffic, "deployer": Deployer, "mailer": Mailer}

UNTROUBLED = Trouble(_nothing, _nothing, 0)
