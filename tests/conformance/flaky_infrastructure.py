"""An outside on which calls fail before or after their effect, are refused, or have it long after they gave up."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

from provisioning.ports import Deployer, Identity, Infrastructure, Mailer, Refused, Storage, Traffic, TryAgain
from tests.conformance.virtual_worker import breathe


class Trouble(StrEnum):
    """What becomes of one call."""

    FAILS = "fails before its effect"
    FAILS_LATE = "has its effect and fails"
    LANDS_LATE = "gives up, and has its effect later"
    REFUSED = "is refused for good"


CALLS = (
    "storage.create",
    "storage.migrate",
    "storage.destroy",
    "identity.create",
    "identity.destroy",
    "traffic.reserve",
    "traffic.release",
    "deployer.deploy",
    "deployer.health",
    "deployer.tear_down",
    "mailer.send",
)


class FlakyInfrastructure:
    """Hands every call of a world on, in whatever trouble it is in, and remembers in which order undoing began."""

    def __init__(self) -> None:
        self.troubles: dict[str, list[Trouble]] = {}
        self.in_flight: list[tuple[str, Callable[[], object]]] = []
        self.undoing: dict[str, list[str]] = {}
        self.struck: set[str] = set()

    def over(self, infrastructure: Infrastructure) -> Infrastructure:
        """The same world in this weather."""
        return Infrastructure(
            storage=cast("Storage", _Port("storage", infrastructure.storage, self)),
            identity=cast("Identity", _Port("identity", infrastructure.identity, self)),
            traffic=cast("Traffic", _Port("traffic", infrastructure.traffic, self)),
            deployer=cast("Deployer", _Port("deployer", infrastructure.deployer, self)),
            mailer=cast("Mailer", _Port("mailer", infrastructure.mailer, self)),
        )

    def land(self, number: int) -> str:
        """Let a call that had given up have its effect now. Being refused is what is hoped for."""
        name, call = self.in_flight.pop(number)
        try:
            call()
        except Refused as refusal:
            return f"{name} is refused: {refusal}"
        except LookupError as error:
            return f"{name} finds nothing: {error}"
        return f"{name} has its effect"

    def clear_up(self) -> None:
        """No more trouble; what is in flight stays there."""
        self.troubles.clear()

    def perform(self, call: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Make one call."""
        breathe(f"before {call}")
        if call.endswith(("destroy", "release", "tear_down")):
            self._remember(args[0].stem, call)
        result = self._suffer(call, method, args)
        breathe(f"after {call}")
        return result

    def _suffer(self, call: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        waiting = self.troubles.get(call)
        trouble = waiting.pop(0) if waiting else None
        if trouble is None:
            return method(*args)
        self.struck.add(call)
        match trouble:
            case Trouble.REFUSED:
                raise Refused(f"{call} is refused, as it was told to.")
            case Trouble.FAILS_LATE:
                method(*args)
            case Trouble.LANDS_LATE:
                late = [_endless(argument) for argument in args]
                self.in_flight.append((f"{call} of {_subject(args)}", lambda: method(*late)))
            case Trouble.FAILS:
                pass
        raise TryAgain(f"{call} {trouble}.")

    def _remember(self, stem: str, call: str) -> None:
        begun = self.undoing.setdefault(stem, [])
        if call not in begun:
            begun.append(call)


class _Port:
    def __init__(self, name: str, port: object, weather: FlakyInfrastructure) -> None:
        self._name = name
        self._port = port
        self._weather = weather

    def __getattr__(self, method: str) -> Callable[..., object]:
        genuine: Callable[..., object] = getattr(self._port, method)
        if f"{self._name}.{method}" not in CALLS:
            return genuine
        return lambda *args: self._weather.perform(f"{self._name}.{method}", genuine, args)


class _Endless:
    """The patience of a call that nobody waits for any more: it is past the point at which it could be stopped."""

    def sleep(self, seconds: float) -> None:
        """Go on."""

    def checkpoint(self) -> None:
        """Go on."""


def _endless(argument: object) -> object:
    return _Endless() if hasattr(argument, "checkpoint") else argument


def _subject(args: tuple[Any, ...]) -> str:
    names = getattr(args[0], "names", args[0])
    return str(getattr(names, "stem", names))
