"""The lock that allows one development server per data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from devserver.errors import DevserverError


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Lock the data directory until the end of the block. The kernel also releases the lock of a killed process.

    Raises DevserverError when another process holds the lock.
    """
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DevserverError(
                f"{data} is used by {_process(lock.read().strip())}: stop it, or choose another --data-dir."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _process(pid: str) -> str:
    try:
        return f"process {pid} ({' '.join(psutil.Process(int(pid)).cmdline())})"
    except (ValueError, psutil.Error):
        return "another process"
