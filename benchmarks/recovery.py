"""How long runs stand still after the worker that performs them was killed."""

import os
import signal
import time

import psutil

from benchmarks.product import product
from benchmarks.servers import Servers
from benchmarks.world import HELD
from models import TenantState


def measure_recovery(servers: Servers) -> list[float]:
    """Kill the worker that performs some steps. Seconds until another worker performs each of them."""
    with product(servers, workers=1, holds=True) as running:
        runs = running.settings.forward_threads
        for number in range(runs):
            running.create(f"{HELD}-{number}")
        killed = psutil.Process(running.workers[0].process.pid)
        running.await_all(lambda: sum(1 for _ in running.facts.read("began")) == runs)
        running.start_worker()  # this one does not hold
        killed_at = time.time()
        os.kill(killed.pid, signal.SIGKILL)
        running.await_all(lambda: running.tenants_in(TenantState.ACTIVE) == runs)
        return [fact.at - killed_at for fact in running.facts.read("began") if fact.process != killed.pid]
