"""An API process as a child of this one, with its peak memory."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
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
def serving(log: int | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """Run ``python -m server serve`` on a free port with this process's settings. Yields address and process.

    ``log`` is where its log goes, as ``subprocess`` names it; None is the log of this process.
    """
    port = _free_port()
    with _answering(["server", "serve", "--port", port], port, "/healthz", log) as process:
        yield f"127.0.0.1:{port}", process


@contextmanager
def serving_stock() -> Iterator[tuple[str, psutil.Process]]:
    """Run stock Strawberry on a free port. Yields address and process."""
    port = _free_port()
    with _answering(["benchmarks.stock_api", port], port, "/graphql/?query={hello}", None) as process:
        yield f"127.0.0.1:{port}", process


def _free_port() -> str:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return str(chosen.getsockname()[1])


@contextmanager
def _answering(module: Sequence[str], port: str, path: str, log: int | None) -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-m", *module], stdout=log, stderr=log)
    try:
        await_condition(lambda: _answers(f"http://127.0.0.1:{port}{path}"))
        yield psutil.Process(process.pid)
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
