"""Decides what happens at each failpoint of the processes under test: continue, wait, fail or die."""

import json
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.field.failpoints import Answers, Failpoint

Rule = Callable[[Failpoint], str | None]
"""Returns an answer, or None if the rule does not apply to this failpoint."""

TIMEOUT = 30.0
"""Seconds to wait for an event before the test fails: twice the longest lease of a testbed (15 s).

A run without faults is idle for one lease at the most; a lost message costs a second and a sweep.
"""


@dataclass
class Halt:
    """A place where processes halt. A matching failpoint waits there until it is released.

    A failpoint matches if it is at ``where`` and of this run, step and process, as far as they are given. At the most
    ``times`` attempts halt. All messages for one move are one attempt: a duplicate halts too and does not overtake.

    A transaction (``before claim``, ``after record``) must also have the direction, forward unless ``backward``: a
    stale forward message does not match a halt of the undo. Calls of a step and of its undo have different names.
    """

    where: str
    run_id: str = ""
    step: str = ""
    backward: bool = False
    pid: int = 0
    times: int = 1
    stoppable: bool = False
    answer: str = Answers.GO
    failpoints: list[Failpoint] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _released: bool = False

    def matches(self, failpoint: Failpoint) -> bool:
        """Whether run, step, direction and process of this failpoint are those of the halt."""
        return (
            failpoint.where == self.where
            and self.run_id in {"", failpoint.run_id}
            and self.step in {"", failpoint.step}
            and self.pid in {0, failpoint.pid}
            and ("." in self.where or failpoint.backward is self.backward)
        )

    def stops(self, failpoint: Failpoint) -> bool:
        """Whether this failpoint has to halt here. A new attempt is added to ``failpoints``."""
        with self._changed:
            if self._released or not self.matches(failpoint):
                return False
            attempts = {_attempt_of(one) for one in self.failpoints}
            if _attempt_of(failpoint) not in attempts:
                if len(attempts) >= self.times:
                    return False
                self.failpoints.append(failpoint)
                self._changed.notify_all()
            return True

    def restrict_to(self, run_id: str) -> None:
        """Restrict the halt to one attempt of this run, once its id is known. Other runs are released."""
        with self._changed:
            self.run_id, self.times = run_id, 1
            self.failpoints = [failpoint for failpoint in self.failpoints if self.matches(failpoint)]
            self._changed.notify_all()

    def await_first(self, within: float = TIMEOUT) -> Failpoint:
        """Wait for the first failpoint that halts here. Raises AssertionError after ``within`` seconds."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.failpoints, within)
            assert came, f"V8: no process reaches {self.where} {self.step}"
            return self.failpoints[0]

    def await_release(self, failpoint: Failpoint) -> str | None:
        """Wait until this failpoint is released; the answer, or None if the halt was restricted to another run."""
        with self._changed:
            self._changed.wait_for(lambda: self._released or not self.matches(failpoint))
            return self.answer if self.matches(failpoint) else None

    def release(self, answer: str = Answers.GO) -> None:
        """Answer every process that halted here. Later failpoints do not halt."""
        with self._changed:
            self.answer = answer
            self._released = True
            self._changed.notify_all()

    @property
    def released(self) -> bool:
        """Whether the halt was released and failpoints pass it."""
        return self._released


def _attempt_of(failpoint: Failpoint) -> tuple[str, str, bool, int]:
    return failpoint.run_id, failpoint.step, failpoint.backward, failpoint.attempt


class FailpointController:
    """Answers the failpoint clients of the processes under test. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._halts: list[Halt] = []
        self.seen: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()

    def halt_at(
        self,
        where: str,
        *,
        run_id: str = "",
        step: str = "",
        backward: bool = False,
        pid: int = 0,
        times: int = 1,
        stoppable: bool = False,
    ) -> Halt:
        """Halt the first ``times`` attempts that reach this place.

        A ``stoppable`` halt ends early when the step is told to stop.
        """
        halt = Halt(where, run_id, step, backward, pid, times, stoppable)
        with self._lock:
            self._halts.append(halt)
        return halt

    def rule(self, rule: Rule) -> None:
        """Add a rule, which is asked before all earlier rules."""
        with self._lock:
            self._rules.insert(0, rule)

    def clear(self) -> None:
        """Release every halt and remove every rule."""
        with self._lock:
            self._rules.clear()
            for halt in self._halts:
                halt.release()
            self._halts.clear()

    def answers(self, failpoint: Failpoint) -> Iterator[str]:
        """The answers to a failpoint: HANG first if it is stoppable, then the final one."""
        with self._lock:
            self.seen[failpoint.where] += 1
        answer = None
        while answer is None:
            halt, answer = self._halt_or_answer(failpoint)
            if halt and halt.stoppable:
                yield Answers.HANG
            answer = halt.await_release(failpoint) if halt else answer
        yield answer

    def _halt_or_answer(self, failpoint: Failpoint) -> tuple[Halt | None, str]:
        with self._lock:
            self._halts = [halt for halt in self._halts if not halt.released]
            halt = next((halt for halt in self._halts if halt.stops(failpoint)), None)
            answer = None if halt else next((answer for rule in self._rules if (answer := rule(failpoint))), None)
            if answer:
                self.injected[answer.split()[0]] += 1
            return halt, answer or Answers.GO


@contextmanager
def serving_controller(path: Path) -> Iterator[FailpointController]:
    """A controller that listens on this socket for the length of the block."""
    controller = FailpointController()

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                for line in self.rfile:
                    for answer in controller.answers(Failpoint(**json.loads(line))):
                        self.wfile.write(answer.encode() + b"\n")
            except OSError:
                pass  # the process under test was killed

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 256
        block_on_close = False

    server = Server(str(path), Conversation)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True, name="failpoint-controller"
    )
    thread.start()
    try:
        yield controller
    finally:
        controller.clear()
        server.shutdown()
        server.server_close()


def until(condition: Callable[[], object], failure: str, *, within: float = TIMEOUT, every: float = 0.02) -> float:
    """Wait for a condition; returns the seconds that it took. Raises AssertionError after ``within`` seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"{failure} (within {within:g} s)"
        time.sleep(every)  # between two evaluations of the condition
    return time.monotonic() - began


def let_time_pass(seconds: float) -> None:
    """Sleep where the duration itself is part of the scenario: an outage lasts, a lease expires."""
    time.sleep(seconds)
