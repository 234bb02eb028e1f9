"""An API process as a child of this one, with its peak memory."""

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

SAMPLE_INTERVAL = 0.02
"""Seconds."""


@dataclass
class Peak:
    """The peak resident memory of a process, in megabytes."""

    megabytes: float = 0.0

    def sample(self, process: psutil.Process) -> None:
        """Take one sample."""
        self.megabytes = max(self.megabytes, process.memory_info().rss / 1e6)


@contextmanager
def serving() -> Iterator[tuple[str, psutil.Process]]:
    """Run ``python -m server serve`` on a free port with this process's settings. Yields address and process."""
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
    """Measure the peak memory during the block."""
    peak, finished = Peak(), threading.Event()

    def sample_repeatedly() -> None:
        while not finished.wait(SAMPLE_INTERVAL):
            peak.sample(process)

    peak.sample(process)
    sampling = threading.Thread(target=sample_repeatedly)
    sampling.start()
    try:
        yield peak
    finally:
        finished.set()
        sampling.join()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).is_success
    except httpx.TransportError:
        return False
