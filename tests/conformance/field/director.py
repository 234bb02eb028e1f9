"""Decides what becomes of each moment of the processes under test: lets go, delays, fails, kills."""

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
"""An answer, or None when it has nothing to say about this moment."""

PATIENCE = 30.0
"""Seconds until a moment that does not come counts as never coming: twice the longest lease of a field (15 s).

The longest that a run stands still by itself is one lease; a lost message costs a second and a sweep.
"""


@dataclass
class Hold:
    """A place where processes halt. A moment that it concerns waits there until it is let go.

    It concerns moments at ``where``, of this run, step and process when they are named, and of ``times`` attempts at
    the most. All messages for one move are one attempt: what was doubled halts too, and does not go on alone.

    A transaction (``before claim``, ``after record``) has a direction as well, forward unless ``backward``: a stale
    forward message is no undo. The calls of a step and of its undo have names of their own.
    """

    where: str
    run_id: str = ""
    step: str = ""
    backward: bool = False
    pid: int = 0
    times: int = 1
    patient: bool = False
    answer: str = Answers.GO
    moments: list[Failpoint] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _released: bool = False

    def concerns(self, moment: Failpoint) -> bool:
        """Whether this moment is meant, and not one of another run, step, direction or process."""
        return (
            moment.where == self.where
            and self.run_id in {"", moment.run_id}
            and self.step in {"", moment.step}
            and self.pid in {0, moment.pid}
            and ("." in self.where or moment.backward is self.backward)
        )

    def takes(self, moment: Failpoint) -> bool:
        """Halt this moment if it concerns the hold; whether it does."""
        with self._changed:
            if self._released or not self.concerns(moment):
                return False
            known = {_attempt_of(one) for one in self.moments}
            if _attempt_of(moment) not in known:
                if len(known) >= self.times:
                    return False
                self.moments.append(moment)
                self._changed.notify_all()
            return True

    def only(self, run_id: str) -> None:
        """Name the run when it is known: until then all runs halt here, now one attempt of this run does."""
        with self._changed:
            self.run_id, self.times = run_id, 1
            self.moments = [moment for moment in self.moments if self.concerns(moment)]
            self._changed.notify_all()

    def await_one(self, within: float = PATIENCE) -> Failpoint:
        """The first moment that halted here. Raises AssertionError when none comes."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.moments, within)
            assert came, f"V8: no process comes to {self.where} {self.step}"
            return self.moments[0]

    def await_release(self, moment: Failpoint) -> str | None:
        """Wait until this moment may go on; the answer to it, None when another run was named meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._released or not self.concerns(moment))
            return self.answer if self.concerns(moment) else None

    def let_go(self, answer: str = Answers.GO) -> None:
        """Answer whoever halted here; nobody halts here any more."""
        with self._changed:
            self.answer = answer
            self._released = True
            self._changed.notify_all()

    @property
    def released(self) -> bool:
        """Whether nobody halts here any more."""
        return self._released


def _attempt_of(moment: Failpoint) -> tuple[str, str, bool, int]:
    return moment.run_id, moment.step, moment.backward, moment.attempt


class Director:
    """Answers the performers' questions. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._holds: list[Hold] = []
        self.seen: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def hold(
        self,
        where: str,
        *,
        run_id: str = "",
        step: str = "",
        backward: bool = False,
        pid: int = 0,
        times: int = 1,
        patient: bool = False,
    ) -> Hold:
        """Halt whoever comes to this place, the first so many times; who is ``patient`` leaves when told to stop."""
        hold = Hold(where, run_id, step, backward, pid, times, patient)
        with self._lock:
            self._holds.append(hold)
        return hold

    def rule(self, rule: Rule) -> None:
        """Have this rule decide, before those that were there."""
        with self._lock:
            self._rules.insert(0, rule)

    def always(self, answer: str, where: str, *, run_id: str = "", times: int = 10_000) -> None:
        """Give this answer at this place, so many times."""
        left = [times]

        def rule(moment: Failpoint) -> str | None:
            if moment.where != where or run_id not in {"", moment.run_id}:
                return None
            left[0] -= 1
            return answer if left[0] >= 0 else None

        self.rule(rule)

    def clear(self) -> None:
        """Let everybody go, and forget every rule."""
        with self._lock:
            self._rules.clear()
            for hold in self._holds:
                hold.let_go()
            self._holds.clear()

    def answers(self, moment: Failpoint) -> Iterator[str]:
        """What a performer is told: more than one answer when it is to hang first."""
        with self._lock:
            self.seen[moment.where] += 1
        answer = None
        while answer is None:
            hold, told = self._hold_or_answer(moment)
            if hold and hold.patient:
                yield Answers.HANG
            answer = hold.await_release(moment) if hold else told
        yield answer

    def _hold_or_answer(self, moment: Failpoint) -> tuple[Hold | None, str]:
        with self._lock:
            self._holds = [hold for hold in self._holds if not hold.released]
            hold = next((hold for hold in self._holds if hold.takes(moment)), None)
            told = None if hold else next((told for rule in self._rules if (told := rule(moment))), None)
            if told:
                self.struck[told.split()[0]] += 1
            return hold, told or Answers.GO


@contextmanager
def directing(path: Path) -> Iterator[Director]:
    """A director who can be asked at this address, for the length of the block."""
    director = Director()

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                for line in self.rfile:
                    for answer in director.answers(Failpoint(**json.loads(line))):
                        self.wfile.write(answer.encode() + b"\n")
            except OSError:
                pass  # the process was killed

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 256
        block_on_close = False

    server = Server(str(path), Conversation)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True, name="director")
    thread.start()
    try:
        yield director
    finally:
        director.clear()
        server.shutdown()
        server.server_close()


def until(condition: Callable[[], object], claim: str, *, within: float = PATIENCE, every: float = 0.02) -> float:
    """Wait for a condition; how long it took, in seconds. Raises AssertionError with the claim."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"{claim} (within {within:g} s)"
        time.sleep(every)  # between two looks at a condition, never instead of one
    return time.monotonic() - began


def let_pass(seconds: float) -> None:
    """Let time pass, because that is what the story is about: an outage lasts, a lease lapses."""
    time.sleep(seconds)
