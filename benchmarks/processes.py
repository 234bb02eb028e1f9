"""A whole API process beside this one, and how much memory it takes at the most."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil

from benchmarks.figures import await_condition

BETWEEN_LOOKS = 0.02


@dataclass
class Peak:
    """The most memory that a process held in RAM, in megabytes."""

    megabytes: float = 0.0

    def note(self, process: psutil.Process) -> None:
        """Look once."""
        self.megabytes = max(self.megabytes, process.memory_info().rss / 1e6)


@contextmanager
def serving() -> Iterator[tuple[str, psutil.Process]]:
    """``python -m server serve`` on a free port, under this process's settings: its address, and the process."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = str(chosen.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "server", "serve", "--port", port])
    try:
        await_condition(lambda: _answers(f"http://127.0.0.1:{port}/healthz"))
        yield f"127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def watched(process: psutil.Process) -> Iterator[Peak]:
    """The peak of the block."""
    peak, over = Peak(), threading.Event()

    def look() -> None:
        while not over.wait(BETWEEN_LOOKS):
            peak.note(process)

    peak.note(process)
    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield peak
    finally:
        over.set()
        looking.join()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).is_success
    except httpx.TransportError:
        return False
