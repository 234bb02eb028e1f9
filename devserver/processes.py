"""Child processes that do not outlive the one that started them."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from devserver.refusal import Refused

PR_SET_PDEATHSIG = 1
# Found before the fork: between fork and exec nothing may be looked up.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The user and group a child runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Child:
    """A running child, and how it wants to be told to end."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    farewell: signal.Signals = signal.SIGTERM
    patience: float = 10.0

    def stop(self) -> None:
        """Ask it to end, wait, and after its patience end it by force."""
        with suppress(ProcessLookupError):
            self.process.send_signal(self.farewell)
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def await_ready(self, ready: Callable[[], bool], within: float) -> None:
        """Return once it is ready. Raises Refused with the end of its log when it dies or takes longer (seconds)."""
        deadline = time.monotonic() + within
        while not ready():
            if self.process.poll() is not None:
                raise Refused(f"The {self.name} ended while starting; the end of {self.log} says:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise Refused(f"The {self.name} was not ready within {within:.0f} s; see {self.log}.")
            time.sleep(0.02)


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    farewell: signal.Signals = signal.SIGTERM,
    patience: float = 10.0,
) -> Child:
    """Start a child in a session of its own, so that a Ctrl-C at the terminal reaches only us and we choose the order.

    Call it from the main thread: Linux ties the death signal to the thread that forked.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_die_with(os.getpid(), farewell),  # noqa: PLW1509  # nothing else can set the death signal
        )
    return Child(name, process, log, farewell, patience)


def _die_with(parent: int, farewell: signal.Signals) -> Callable[[], None]:
    def ask_the_kernel() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(farewell))
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


def tail(log: Path, lines: int = 15) -> str:
    """Give the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class Record:
    """One child as the register remembers it. The creation time tells it from a later process with its number."""

    name: str
    pid: int
    created: float
    farewell: int

    def process(self) -> psutil.Process | None:
        """Find it, if it still lives."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class Register:
    """The children of one data directory, on disk, so that the next start can end what a kill -9 left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, child: Child) -> None:
        """Remember a child, unless it has ended already."""
        with suppress(psutil.NoSuchProcess):
            created = psutil.Process(child.process.pid).create_time()
            self._write([*self._read(), Record(child.name, child.process.pid, created, int(child.farewell))])

    def clear(self) -> None:
        """Forget all: nothing is left running."""
        self._path.unlink(missing_ok=True)

    def end_leftovers(self, patience: float = 10.0) -> list[str]:
        """End what an earlier start left running, last started first; answer with their names."""
        left = [(record, process) for record in reversed(self._read()) if (process := record.process())]
        for record, process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(record.farewell)
        _, stubborn = psutil.wait_procs([process for _, process in left], timeout=patience)
        for process in stubborn:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=patience)
        self.clear()
        return [record.name for record, _ in left]

    def _read(self) -> list[Record]:
        if not self._path.exists():
            return []
        return [Record(**entry) for entry in json.loads(self._path.read_text())]

    def _write(self, records: list[Record]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(record) for record in records]))
        fresh.replace(self._path)
