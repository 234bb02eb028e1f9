"""Failpoints of a process under test: before and after its external calls and its changes of runs."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any
from uuid import UUID

import adapters
from adapters.guarded_calls import NEVER_STOPS
from provisioning import engine
from provisioning.claims import Claim
from provisioning.engine import Change, Decided
from provisioning.moves import Backward, Forward
from provisioning.ports import Infrastructure, Refused, TryAgain
from provisioning.step_context import current_stop_token
from provisioning.wakeups import WakeUp
from runtime.database import Database
from runtime.settings import Settings

if TYPE_CHECKING:
    from workers.kept_waits import KeptWait

CHANGES = {"claim": "claim", "record": "record", "keep_waiting": "record", "record_failure": "record_failure"}
"""The name of each change in failpoints: that a step waits is an outcome like others."""
POLL_INTERVAL = 0.02
"""Seconds between two checks of the stop token in a call that hangs."""


@dataclass(frozen=True)
class Failpoint:
    """A place in a process, for example ``before storage.create`` or ``after record``. Unknown fields are empty.

    ``before claim`` is reached for each message, also for a stale or duplicate one; its ``attempt`` is 0. If there is
    nothing to claim, ``after empty claim`` follows instead of ``after claim``. A move for which a run is kept is
    claimed by the record before it: ``after record``, ``after claim``.
    """

    pid: int
    where: str
    run_id: str = ""
    stem: str = ""
    step: str = ""
    backward: bool = False
    attempt: int = 0


class Answers:
    """The answers that a process may get at a failpoint."""

    GO = "go"
    TRY_AGAIN = "try again"
    REFUSE = "refuse"
    DIE = "die"
    HANG = "hang"
    """Wait for another answer, or until the step is told to stop: simulates a slow external system."""
    SLOW = "slow"
    """Take so many seconds longer, unless the step is told to stop: ``slow 2.5``."""
    LATE = "late"
    """Fail with TryAgain and let the call take effect so many seconds later: ``late 2.5``."""
    UNSTOPPABLE = "unstoppable"
    """Make the call and ignore the stop token: the call was past its last checkpoint when it was halted."""


class FailpointClient:
    """Asks the controller at every failpoint, over one connection for each thread, and performs the answer."""

    def __init__(self, controller: Path) -> None:
        self._controller = controller
        self._local = threading.local()
        self._contexts: dict[str, dict[str, Any]] = {}

    def install(self) -> None:
        """Add the failpoints around every external call and every change of a run in this process."""
        self._install_around_calls()
        self._install_around_changes()

    def _install_around_calls(self) -> None:
        original_infrastructure, original_send = adapters.infrastructure, Database._send

        def infrastructure(settings: Settings, database: Database) -> Infrastructure:
            return original_infrastructure(settings, database).intercepted(self.call)

        def send(database: Database, outbox: Sequence[Any]) -> None:
            self._reach_deliver([str(one.run_id) for one in outbox if isinstance(one, WakeUp)])
            original_send(database, outbox)

        adapters.infrastructure = infrastructure
        Database._send = send  # type: ignore[method-assign, assignment]  # a process under test

    def _install_around_changes(self) -> None:
        # Imported here, because a mutant may have replaced names that it imports.
        from workers.actors import StepRunner  # noqa: PLC0415  # see above

        original_claim, original_apply, original_poll = StepRunner.claim, StepRunner._apply, StepRunner.poll_again

        def claim(runner: StepRunner, run_id: UUID, move: Forward | Backward) -> Claim | None:
            self._local.context = _move_context(run_id, move)
            return original_claim(runner, run_id, move)

        def apply(runner: StepRunner, change: Change) -> Decided:
            kind = change.decide.__name__
            self.reach(f"before {CHANGES[kind]}")
            decided = original_apply(runner, change)
            claim = engine.claim_of(decided, runner.settings)
            if kind != "claim":
                self.reach(f"after {CHANGES[kind]}")
            elif claim is None:
                self.reach("after empty claim")
            if kind != "keep_waiting":
                self._reach_claim(claim)  # also of a record: the run is kept for its next move
            return decided

        def poll_again(runner: StepRunner, wait: "KeptWait") -> timedelta | None:
            self._local.context = self._contexts[str(wait.claim.run_id)] = _claim_context(wait.claim)
            return original_poll(runner, wait)

        patched: Any = StepRunner
        patched.claim, patched._apply, patched.poll_again = claim, apply, poll_again

    def _reach_claim(self, claim: Claim | None) -> None:
        if claim is not None:
            self._local.context = self._contexts[str(claim.run_id)] = _claim_context(claim)
            self.reach("after claim")

    def _reach_deliver(self, run_ids: Sequence[str]) -> None:
        """A thread of a worker may send the wake-ups of runs that other threads have recorded with it."""
        own = getattr(self._local, "context", {})
        contexts = [self._contexts.get(run_id, own) for run_id in run_ids] if own else [own] * bool(run_ids)
        try:
            for self._local.context in contexts:
                self.reach("before deliver")
        finally:
            self._local.context = own

    def call(self, name: str, method: Callable[..., object], args: tuple[Any, ...]) -> object:
        """Make one external call, with the fault that the controller answers."""
        answer = self.reach(f"before {name}")
        if answer.startswith(Answers.LATE):
            self._call_later(float(answer.removeprefix(Answers.LATE)), name, method, args)
            raise TryAgain(f"{name} timed out; it may take effect later.")
        _raise_for(answer, name)
        result = _call_without_stop(method, args) if answer == Answers.UNSTOPPABLE else method(*args)
        _raise_for(self.reach(f"after {name}"), name)
        return result

    def _call_later(self, seconds: float, name: str, method: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Make the call later, when no step waits for it. It has failpoints before and after, like any call."""
        arguments = _without_stop(args)
        context = getattr(self._local, "context", {})

        def call() -> None:
            self._local.context = context
            self.reach(f"before late {name}")
            with suppress(Exception):  # a refusal is the expected result
                method(*arguments)
            self.reach(f"after late {name}")

        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()

    def reach(self, where: str) -> str:
        """Ask the controller; the process dies here if the answer is DIE."""
        failpoint = Failpoint(os.getpid(), where, **getattr(self._local, "context", {}))
        try:
            answer = self._exchange(failpoint)
        except OSError:
            return Answers.GO  # the controller has stopped: the scenario is over
        if answer == Answers.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        if answer.startswith(Answers.SLOW):
            stop_token = current_stop_token.get() or NEVER_STOPS
            stop_token.sleep(float(answer.removeprefix(Answers.SLOW)))
            return Answers.GO
        return answer

    def _exchange(self, failpoint: Failpoint) -> str:
        stream = self._stream()
        stream.write(json.dumps(asdict(failpoint)).encode() + b"\n")
        answer = _line(stream)
        while answer == Answers.HANG:
            answer = self._hang(stream)
        return answer

    def _hang(self, stream: Any) -> str:
        stop_token = current_stop_token.get() or NEVER_STOPS
        while not select([stream], [], [], POLL_INTERVAL)[0]:
            try:
                stop_token.checkpoint()
            except BaseException:
                self._local.stream = None  # a late answer must not be read as the answer to the next failpoint
                stream.close()
                raise
        return _line(stream)

    def _stream(self) -> Any:
        if getattr(self._local, "stream", None) is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(self._controller))
            # Unbuffered: bytes in a buffer would not wake up the select of a call that hangs.
            self._local.stream = connection.makefile("rwb", buffering=0)
        return self._local.stream


def _move_context(run_id: object, move: Forward | Backward) -> dict[str, Any]:
    return {"run_id": str(run_id), "step": move.step, "backward": isinstance(move, Backward)}


def _claim_context(claim: Claim) -> dict[str, Any]:
    return _move_context(claim.run_id, claim.move) | {"stem": claim.names.stem, "attempt": claim.attempt}


def _without_stop(args: tuple[Any, ...]) -> list[Any]:
    return [NEVER_STOPS if hasattr(argument, "checkpoint") else argument for argument in args]


def _call_without_stop(method: Callable[..., object], args: tuple[Any, ...]) -> object:
    before = current_stop_token.set(NEVER_STOPS)
    try:
        return method(*_without_stop(args))
    finally:
        current_stop_token.reset(before)


def _raise_for(answer: str, name: str) -> None:
    if answer == Answers.TRY_AGAIN:
        raise TryAgain(f"{name} fails with an injected fault.")
    if answer == Answers.REFUSE:
        raise Refused(f"{name} is refused by an injected fault.")


def _line(stream: Any) -> str:
    line: bytes = stream.readline()
    if not line:
        raise ConnectionError("the failpoint controller has closed the connection")
    return line.decode().strip()
