"""The peer DBOS Transact, in its own Python (.bench): ``worker`` runs workflows, ``enqueue RUNS STEPS`` queues them.

It imports nothing of the product, because that is not installed beside it.
"""

import os
import signal
import sys
import threading

import sqlalchemy
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

QUEUE = "runs"

POLLING_INTERVAL = 0.05
"""Seconds. By default DBOS looks into its queue once a second: that would be waiting, not work."""

WORKER_CONCURRENCY = 10
"""Workflows at once in one process: as many as the product's worker has threads."""


@DBOS.step()  # type: ignore[untyped-decorator]  # not installed where types are checked
def nothing(number: int) -> int:
    """A step without work."""
    return number


@DBOS.workflow()  # type: ignore[untyped-decorator]  # see above
def run(steps: int) -> int:
    """Steps in order."""
    for step in range(steps):
        nothing(step)
    return steps


def main() -> None:
    """Work until SIGTERM, or queue workflows."""
    match sys.argv[1:]:
        case ["worker"]:
            work(os.environ["DBOS_ADDRESS"])
        case ["enqueue", runs, steps]:
            enqueue(os.environ["DBOS_ADDRESS"], int(runs), int(steps))
        case _:
            sys.exit(__doc__)


def work(address: str) -> None:
    """Work until SIGTERM."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": address,
        "application_version": "1",
        "log_level": "WARNING",
        "executor_id": str(os.getpid()),
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=POLLING_INTERVAL, worker_concurrency=WORKER_CONCURRENCY)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    print("worker started", flush=True)
    stopped.wait()
    DBOS.destroy()


def enqueue(address: str, runs: int, steps: int) -> None:
    """Queue workflows in one transaction: the workers see them at once."""
    client = DBOSClient(system_database_url=address, application_name="bench")
    options: EnqueueOptions = {"queue_name": QUEUE, "workflow_name": run.__qualname__}
    engine = sqlalchemy.create_engine(address, connect_args={"application_name": "bench"})
    with engine.begin() as connection:
        for _ in range(runs):
            client.enqueue_in_transaction(connection, options, steps)
    client.destroy()


if __name__ == "__main__":
    main()
