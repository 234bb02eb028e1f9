"""Infrastructure with call faults: calls fail before or after their effect, are refused, or take effect too late."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from provisioning.ports import PORTS, Infrastructure, Refused, TryAgain
from tests.conformance.virtual_worker import failpoint


class CallFault(StrEnum):
    """What happens to one call."""

    FAILS_BEFORE_EFFECT = "fails before its effect"
    FAILS_AFTER_EFFECT = "fails after its effect"
    TAKES_EFFECT_LATE = "times out and takes effect later"
    REFUSED = "is refused permanently"


CALLS = tuple(
    f"{name}.{method}"
    for name, port in PORTS.items()
    for method in vars(port)
    if not method.startswith("_") and method != "present"
)
"""The calls that can fail, of every port."""

TEAR_DOWN = "deployer.tear_down"


class FlakyInfrastructure:
    """Forwards each call, or injects the next planned fault, and records in which order undo calls began.

    The first call that tears a workload down finds that this takes longer, so that undos wait, too.
    """

    def __init__(self) -> None:
        self.faults: dict[str, list[CallFault]] = {}
        self.in_flight: list[tuple[str, Callable[[], object]]] = []
        self.compensations: dict[str, list[str]] = {}
        self.injected: set[str] = set()
        self._asked_to_tear_down: set[str] = set()

    def wrap(self, infrastructure: Infrastructure) -> Infrastructure:
        """The same infrastructure, with faults."""
        return infrastructure.intercepted(self.perform)

    def complete_late_call(self, number: int) -> str:
        """Let a call that timed out earlier take effect now. The expected result is a refusal."""
        name, call = self.in_flight.pop(number)
        try:
            call()
        except Refused as refusal:
            return f"{name} is refused: {refusal}"
        except LookupError as error:
            return f"{name} finds nothing: {error}"
        return f"{name} takes effect"

    def stop_faults(self) -> None:
        """Remove all planned faults. Late calls stay in flight."""
        self.faults.clear()

    def perform(self, call: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Make one call, between its two failpoints if it can fail."""
        if call not in CALLS:
            return method(*args)
        failpoint(f"before {call}")
        if call.endswith(("destroy", "release", "tear_down")):
            self._record_compensation(args[0].stem, call)
        result = self._inject(call, method, args)
        failpoint(f"after {call}")
        return result

    def _inject(self, call: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        waiting = self.faults.get(call)
        fault = waiting.pop(0) if waiting else None
        if fault is None:
            return method(*args) if call != TEAR_DOWN or self._has_been_asked(args[0].stem) else False
        self.injected.add(call)
        match fault:
            case CallFault.REFUSED:
                raise Refused(f"{call} is refused by an injected fault.")
            case CallFault.FAILS_AFTER_EFFECT:
                method(*args)
            case CallFault.TAKES_EFFECT_LATE:
                late = [_without_stop(argument) for argument in args]
                self.in_flight.append((f"{call} of {_subject(args)}", lambda: method(*late)))
            case CallFault.FAILS_BEFORE_EFFECT:
                pass
        raise TryAgain(f"{call} {fault}.")

    def _has_been_asked(self, stem: str) -> bool:
        asked = stem in self._asked_to_tear_down
        self._asked_to_tear_down.add(stem)
        return asked

    def _record_compensation(self, stem: str, call: str) -> None:
        begun = self.compensations.setdefault(stem, [])
        if call not in begun:
            begun.append(call)


class _NeverStops:
    """The stop token of a late call, which is past the last point at which it could be stopped."""

    def sleep(self, seconds: float) -> None:
        """Continue at once."""

    def checkpoint(self) -> None:
        """Continue at once."""


def _without_stop(argument: object) -> object:
    return _NeverStops() if hasattr(argument, "checkpoint") else argument


def _subject(args: tuple[Any, ...]) -> str:
    names = getattr(args[0], "names", args[0])
    return str(getattr(names, "stem", names))
