"""One development server per data directory: the second learns who holds it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from devserver.refusal import Refused


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Hold the data directory. The kernel lets go of it with our end, whatever that end is. Raises Refused."""
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Refused(
                f"{data} is held by {_named(lock.read().strip())}; stop that one, or choose another --data-dir."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _named(pid: str) -> str:
    try:
        return f"process {pid} ({' '.join(psutil.Process(int(pid)).cmdline())})"
    except (ValueError, psutil.Error):
        return "another process"
