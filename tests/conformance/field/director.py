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

from tests.conformance.field.moments import Answers, Moment

Rule = Callable[[Moment], str | None]
"""An answer, or None when it has nothing to say about this moment."""

PATIENCE = 30.0
"""Seconds until a moment that does not come counts as never coming."""


@dataclass
class Hold:
    """A place where processes halt. Whoever reaches it waits until it is let go."""

    wanted: Callable[[Moment], bool]
    patient: bool
    answer: str = Answers.GO
    moments: list[Moment] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def await_one(self, within: float = PATIENCE) -> Moment:
        """The first moment that halted here. Raises AssertionError when none comes."""
        assert self.reached.wait(within), "V8: nobody came by"
        return self.moments[0]

    def let_go(self, answer: str = Answers.GO) -> None:
        """Answer whoever halted here; nobody halts here any more."""
        self.answer = answer
        self.released.set()


class Director:
    """Answers the performers' questions. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._holds: list[Hold] = []
        self.seen: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def hold(
        self, where: str, *, run_id: str = "", step: str = "", pid: int = 0, times: int = 1, patient: bool = False
    ) -> Hold:
        """Halt whoever comes to this place, the first so many times; who is ``patient`` leaves when told to stop."""
        left = [times]

        def wanted(moment: Moment) -> bool:
            if moment.where != where or run_id not in {"", moment.run_id} or step not in {"", moment.step}:
                return False
            if pid not in {0, moment.pid}:
                return False
            left[0] -= 1
            return left[0] >= 0

        hold = Hold(wanted, patient)
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

        def rule(moment: Moment) -> str | None:
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

    def answers(self, moment: Moment) -> Iterator[str]:
        """What a performer is told: more than one answer when it is to hang first."""
        with self._lock:
            self.seen[moment.where] += 1
            self._holds = [hold for hold in self._holds if not hold.released.is_set()]
            hold = next((hold for hold in self._holds if hold.wanted(moment)), None)
            told = None if hold else next((told for rule in self._rules if (told := rule(moment))), None)
            if told:
                self.struck[told.split()[0]] += 1
        if hold is None:
            yield told or Answers.GO
            return
        hold.moments.append(moment)
        hold.reached.set()
        if hold.patient:
            yield Answers.HANG
        hold.released.wait()
        yield hold.answer


@contextmanager
def directing(path: Path) -> Iterator[Director]:
    """A director who can be asked at this address, for the length of the block."""
    director = Director()

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                for line in self.rfile:
                    for answer in director.answers(Moment(**json.loads(line))):
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
