"""Child processes that end together with the process that started them."""

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

from devserver.errors import DevserverError

PR_SET_PDEATHSIG = 1
# Loaded before the fork: between fork and exec no library may be loaded.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The user and group of a child process."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Child:
    """A running child process, with the signal that stops it and the timeout for stopping, in seconds."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    timeout: float = 10.0

    def stop(self) -> None:
        """Send its stop signal and wait; kill it after its timeout."""
        with suppress(ProcessLookupError):
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def await_ready(self, ready: Callable[[], bool], within: float) -> None:
        """Wait until it is ready, at most ``within`` seconds. Raises DevserverError when it ends or takes longer."""
        deadline = time.monotonic() + within
        while not ready():
            if self.process.poll() is not None:
                log = f"Its log {self.log} ends with:\n{tail(self.log)}"
                raise DevserverError(f"The {self.name} ended while starting. {log}")
            if time.monotonic() > deadline:
                raise DevserverError(f"The {self.name} was not ready within {within:.0f} s: see its log {self.log}.")
            time.sleep(0.02)


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    timeout: float = 10.0,
) -> Child:
    """Start a child process in a separate session: Ctrl-C reaches only this process, which stops its children in order.

    Call it from the main thread: on Linux the children get the death signal when the thread that forked them ends.
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
            preexec_fn=_die_with(os.getpid(), stop_signal),  # noqa: PLW1509  # nothing else can set the death signal
        )
    return Child(name, process, log, stop_signal, timeout)


def _die_with(parent: int, stop_signal: signal.Signals) -> Callable[[], None]:
    def request_death_signal() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(stop_signal))
        if os.getppid() != parent:
            os._exit(1)

    return request_death_signal


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class Record:
    """A child process in the register. The creation time distinguishes it from a later process with the same id."""

    name: str
    pid: int
    created: float
    stop_signal: int

    def process(self) -> psutil.Process | None:
        """Find the process, if it still runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class Register:
    """The child processes of one data directory, stored on disk: the next start ends those that a kill -9 left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, child: Child) -> None:
        """Add a child process, unless it has ended already."""
        with suppress(psutil.NoSuchProcess):
            created = psutil.Process(child.process.pid).create_time()
            self._write([*self._read(), Record(child.name, child.process.pid, created, int(child.stop_signal))])

    def clear(self) -> None:
        """Remove all entries, when no child process is left."""
        self._path.unlink(missing_ok=True)

    def end_leftovers(self, timeout: float = 10.0) -> list[str]:
        """End the processes that an earlier start left running, in reverse order. Returns their names."""
        left = [(record, process) for record in reversed(self._read()) if (process := record.process())]
        for record, process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(record.stop_signal)
        _, still_running = psutil.wait_procs([process for _, process in left], timeout=timeout)
        for process in still_running:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(still_running, timeout=timeout)
        self.clear()
        return [record.name for record, _ in left]

    def _read(self) -> list[Record]:
        if not self._path.exists():
            return []
        # By position: earlier releases called the last field by another name.
        return [Record(*entry.values()) for entry in json.loads(self._path.read_text())]

    def _write(self, records: list[Record]) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(record) for record in records]))
        fresh.replace(self._path)
