"""The moments of a process' work at which a story may step in: around calls outside, and around transactions."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from select import select
from typing import Any, TypeVar, cast

import adapters
from adapters.guarded_calls import NEVER_STOPS
from provisioning.claims import Claim
from provisioning.moves import Backward, Forward
from provisioning.ports import Deployer, Identity, Infrastructure, Mailer, Refused, Storage, Traffic, TryAgain
from provisioning.step_context import current_stop_token
from runtime.database import Database
from runtime.settings import Settings

T = TypeVar("T")

TRANSACTIONS = {"claim", "record", "record_failure"}
LOOK_EVERY = 0.02
"""Seconds between two looks at a patience, in a call that hangs."""


@dataclass(frozen=True)
class Failpoint:
    """``where`` is ``before storage.create`` or ``after record``; what is not known yet is empty.

    ``before claim`` is asked for each message, also for a stale or doubled one: its ``attempt`` is 0. When it finds
    nothing to claim, ``after vain claim`` follows in the place of ``after claim``.
    """

    pid: int
    where: str
    run_id: str = ""
    stem: str = ""
    step: str = ""
    backward: bool = False
    attempt: int = 0


class Answers:
    """What a process may be told at a moment."""

    GO = "go"
    TRY_AGAIN = "try again"
    REFUSE = "refuse"
    DIE = "die"
    HANG = "hang"
    """Until another answer follows, or the step is told to stop: the outside is slow."""
    SLOW = "slow"
    """Take so many seconds longer, unless told to stop: ``slow 2.5``."""
    LATE = "late"
    """Give up, and let the call have its effect so many seconds later: ``late 2.5``."""
    DEAF = "deaf"
    """Make the call whatever one was told meanwhile: it was past its last look when it stood still."""


class Performer:
    """Asks the director at every moment, over one connection a thread, and does as it is told."""

    def __init__(self, director: Path) -> None:
        self._director = director
        self._mine = threading.local()

    def watch(self) -> None:
        """Stand around every call outside and every transaction of this process, from now on."""
        genuine_world, genuine_send = adapters.infrastructure, Database._send
        genuine_transact = Database.transact

        def infrastructure(settings: Settings, database: Database) -> Infrastructure:
            return self._around(genuine_world(settings, database))

        def transact(database: Database, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
            if work.__name__ not in TRANSACTIONS:
                return genuine_transact(database, work, *args, **kwargs)
            if work.__name__ == "claim":
                self._mine.about = _wanted(*args)
            self.ask(f"before {work.__name__}")
            result = genuine_transact(database, work, *args, **kwargs)
            if isinstance(result, Claim):
                self._mine.about = _held(result)
            vain = work.__name__ == "claim" and result is None
            self.ask("after vain claim" if vain else f"after {work.__name__}")
            return result

        def send(database: Database, outbox: Sequence[Any]) -> None:
            if outbox:
                self.ask("before deliver")
            genuine_send(database, outbox)

        adapters.infrastructure = infrastructure
        Database.transact = transact  # type: ignore[method-assign, assignment]  # this process is under test
        Database._send = send  # type: ignore[method-assign, assignment]  # the same

    def call(self, name: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Make one call outside, in whatever trouble it is in."""
        answer = self.ask(f"before {name}")
        if answer.startswith(Answers.LATE):
            self._later(float(answer.removeprefix(Answers.LATE)), name, method, args)
            raise TryAgain(f"{name} was given up; it may have its effect yet.")
        _obey(answer, name)
        result = _deafly(method, args) if answer == Answers.DEAF else method(*args)
        _obey(self.ask(f"after {name}"), name)
        return result

    def _later(self, seconds: float, name: str, method: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Call when nobody waits for it any more. The director is asked before and after, as with any call."""
        patient = _unstoppable(args)
        about = getattr(self._mine, "about", {})

        def call() -> None:
            self._mine.about = about
            self.ask(f"before late {name}")
            with suppress(Exception):  # being refused is what is hoped for
                method(*patient)
            self.ask(f"after late {name}")

        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()

    def ask(self, where: str) -> str:
        """Have the director decide; dies here when told to."""
        moment = Failpoint(os.getpid(), where, **getattr(self._mine, "about", {}))
        try:
            answer = self._exchange(moment)
        except OSError:
            return Answers.GO  # the play is over
        if answer == Answers.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        if answer.startswith(Answers.SLOW):
            stop_token = current_stop_token.get() or NEVER_STOPS
            stop_token.sleep(float(answer.removeprefix(Answers.SLOW)))
            return Answers.GO
        return answer

    def _exchange(self, moment: Failpoint) -> str:
        stream = self._stream()
        stream.write(json.dumps(asdict(moment)).encode() + b"\n")
        answer = _line(stream)
        while answer == Answers.HANG:
            answer = self._hang(stream)
        return answer

    def _hang(self, stream: Any) -> str:
        stop_token = current_stop_token.get() or NEVER_STOPS
        while not select([stream], [], [], LOOK_EVERY)[0]:
            try:
                stop_token.checkpoint()
            except BaseException:
                self._mine.stream = None  # the answer that comes too late must not meet the next question
                stream.close()
                raise
        return _line(stream)

    def _stream(self) -> Any:
        if getattr(self._mine, "stream", None) is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(self._director))
            # Unbuffered: what was read ahead would never wake the select of a call that hangs.
            self._mine.stream = connection.makefile("rwb", buffering=0)
        return self._mine.stream

    def _around(self, infrastructure: Infrastructure) -> Infrastructure:
        return Infrastructure(
            storage=cast("Storage", Watched("storage", infrastructure.storage, self)),
            identity=cast("Identity", Watched("identity", infrastructure.identity, self)),
            traffic=cast("Traffic", Watched("traffic", infrastructure.traffic, self)),
            deployer=cast("Deployer", Watched("deployer", infrastructure.deployer, self)),
            mailer=cast("Mailer", Watched("mailer", infrastructure.mailer, self)),
        )


class Watched:
    """Stands before one port."""

    def __init__(self, name: str, port: object, performer: Performer) -> None:
        self._name = name
        self._port = port
        self._performer = performer

    def __getattr__(self, method: str) -> Callable[..., object]:
        genuine: Callable[..., object] = getattr(self._port, method)
        return lambda *args: self._performer.call(f"{self._name}.{method}", genuine, args)


def _wanted(run_id: object, move: Forward | Backward) -> dict[str, Any]:
    return {"run_id": str(run_id), "step": move.step, "backward": isinstance(move, Backward)}


def _held(claim: Claim) -> dict[str, Any]:
    return _wanted(claim.run_id, claim.move) | {"stem": claim.names.stem, "attempt": claim.attempt}


def _unstoppable(args: tuple[Any, ...]) -> list[Any]:
    return [NEVER_STOPS if hasattr(argument, "checkpoint") else argument for argument in args]


def _deafly(method: Callable[..., object], args: tuple[Any, ...]) -> object:
    before = current_stop_token.set(NEVER_STOPS)
    try:
        return method(*_unstoppable(args))
    finally:
        current_stop_token.reset(before)


def _obey(answer: str, name: str) -> None:
    if answer == Answers.TRY_AGAIN:
        raise TryAgain(f"{name} fails, as it was told to.")
    if answer == Answers.REFUSE:
        raise Refused(f"{name} is refused, as it was told to.")


def _line(stream: Any) -> str:
    line: bytes = stream.readline()
    if not line:
        raise ConnectionError("the director is gone")
    return line.decode().strip()
