"""One worker process of the chains that the product is compared with: the least that each kind of chain can do.

``python -m benchmarks.chain_worker KIND``, with the addresses of the servers in the product's variables.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from uuid import uuid4

import dramatiq
import psycopg
import redis
from dramatiq.brokers.redis import RedisBroker

THREADS = 6
"""As many as the product's worker has for steps."""

STEPS = 8

DURABLE_QUEUE, ENDS = "chain", "chain:ends"

TABLE = """
    CREATE TABLE chain (
        id int PRIMARY KEY, step int NOT NULL DEFAULT 0, token uuid, lease_until timestamptz,
        began_at timestamptz, ended_at timestamptz
    )
"""

CLAIM = """
    UPDATE chain SET token = %s, lease_until = clock_timestamp() + interval '15 s',
        began_at = coalesce(began_at, clock_timestamp())
    WHERE id = %s AND step = %s AND (token IS NULL OR lease_until < clock_timestamp())
"""

RECORD = """
    UPDATE chain SET step = step + 1, token = NULL, lease_until = NULL,
        ended_at = CASE WHEN step = %s THEN clock_timestamp() END
    WHERE id = %s AND token = %s
"""

KEEP = """
    UPDATE chain SET step = step + 1, token = %s, lease_until = clock_timestamp() + interval '15 s',
        began_at = coalesce(began_at, clock_timestamp()),
        ended_at = CASE WHEN step = %s THEN clock_timestamp() END
    WHERE id = %s AND step = %s AND (token = %s OR token IS NULL OR lease_until < clock_timestamp())
"""

APPEND_TIME = """
    local now = redis.call('TIME')
    redis.call('RPUSH', KEYS[1], string.format('%d.%06d', now[1], now[2]))
"""


class Kind(StrEnum):
    """A chain: what its steps write, and where."""

    DURABLE = "durable"
    KEPT = "kept"
    BARE = "bare"


class Connections(threading.local):
    """A connection for each thread, in autocommit, with prepared statements."""

    def __init__(self) -> None:
        self.postgres = psycopg.connect(os.environ["TENANTRY_DATABASE_URL"], autocommit=True, prepare_threshold=0)

    def changes(self, statement: str, *values: object) -> bool:
        """Execute a guarded UPDATE. Returns whether it found its row."""
        return self.postgres.execute(statement.encode(), values).rowcount == 1


def broker_of(client: redis.Redis) -> RedisBroker:
    """A broker with no more middleware than the product's."""
    return RedisBroker(client=client, middleware=[], namespace=DURABLE_QUEUE)  # type: ignore[no-untyped-call]  # Dramatiq has no annotations here


def message(run: int, step: int) -> dramatiq.Message[None]:
    """The message for a step of a run."""
    return dramatiq.Message(queue_name=DURABLE_QUEUE, actor_name="chain_step", args=(run, step), kwargs={}, options={})


def actor_of(kind: Kind, broker: RedisBroker, client: redis.Redis) -> Callable[[int, int], None]:
    """What a worker does with a message."""
    match kind:
        case Kind.DURABLE:
            return durable_step(Connections(), broker)
        case Kind.KEPT:
            return kept_run(Connections())
        case Kind.BARE:
            return bare_step(broker, client)


def durable_step(connections: Connections, broker: RedisBroker) -> Callable[[int, int], None]:
    """Two guarded statements a step, claim and record, then the message for the next step."""

    def perform(run: int, step: int) -> None:
        token = uuid4()
        if not connections.changes(CLAIM, token, run, step):
            return
        if connections.changes(RECORD, STEPS - 1, run, token) and step + 1 < STEPS:
            broker.enqueue(message(run, step + 1))

    return perform


def kept_run(connections: Connections) -> Callable[[int, int], None]:
    """One guarded statement a step, for all steps of a run in a row."""

    def perform(run: int, step: int) -> None:
        token = uuid4()
        while step < STEPS and connections.changes(KEEP, token, STEPS - 1, run, step, token):
            step += 1

    return perform


def bare_step(broker: RedisBroker, client: redis.Redis) -> Callable[[int, int], None]:
    """The message for the next step, and nothing durable. The last step of a run appends its end, by Valkey's clock."""
    end = client.register_script(APPEND_TIME)

    def perform(run: int, step: int) -> None:
        if step + 1 < STEPS:
            broker.enqueue(message(run, step + 1))
        else:
            end(keys=[ENDS])

    return perform


def main(kind: Kind) -> None:
    """Work until SIGTERM."""
    client = redis.Redis.from_url(os.environ["TENANTRY_REDIS_URL"])
    broker = broker_of(client)
    dramatiq.actor(broker=broker, queue_name=DURABLE_QUEUE, actor_name="chain_step")(actor_of(kind, broker, client))
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=THREADS)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    worker.start()
    print("worker started", flush=True)
    stopped.wait()
    worker.stop()


if __name__ == "__main__":
    main(Kind(sys.argv[1]))
