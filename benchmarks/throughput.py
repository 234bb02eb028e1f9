"""Steps per second of two worker processes with the cost of a step: of the product, of DBOS and of the smallest chains.

Every measurement has its own database, two new processes, and a warm-up. All runs become visible to the workers in one
moment, and the clock runs from the begin of the first step to the end of the last.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg
import redis
from psycopg import sql

from benchmarks import chain_worker
from benchmarks.chain_worker import ENDS, TABLE, Kind
from benchmarks.cpu import Meter
from benchmarks.figures import await_condition
from benchmarks.product import FORWARD_STEPS, POLL, TIMEOUT, WORKERS, Product, Span, product, stop_all
from benchmarks.servers import NAME, Servers, Statements
from benchmarks.world import WAITING
from devserver.processes import Child, spawn
from models import StepStatus, TenantState
from provisioning.event_types import EventType
from runtime.programs import ROOT, OperatorError

PEER_PYTHON = ROOT / ".bench" / "bin" / "python"

CHAINS_PER_SAGA = 3
"""The chains are faster than the sagas, so they have more runs: a measurement should take a second at least."""

WARM_UP = 40
"""Runs of a peer before its measurement."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. The counts of a sample that was counted are exact; its times are not used, and vice versa."""

    steps: int
    seconds: float
    cpu: Mapping[str, float]
    statements: Statements | None = None

    @property
    def figures(self) -> dict[str, float]:
        """The figures of a timed sample."""
        return {
            "steps_per_second": self.steps / self.seconds,
            **{f"{group}_cpu_ms": 1000 * used / self.steps for group, used in self.cpu.items()},
        }

    @property
    def counts(self) -> dict[str, float]:
        """The figures of a counted sample."""
        assert self.statements is not None, "the sample was counted"
        return {
            "statements": self.statements.statements / self.steps,
            "commits": self.statements.commits / self.steps,
        }


def measure_product(servers: Servers, sagas: int, *, counted: bool) -> dict[str, Sample]:
    """Sagas forward to the welcome mails, then sagas that wait for their workload, undone."""
    with product(servers) as running:
        running.warm_up()
        return {
            "forward": _measure_forward(running, sagas, counted=counted),
            "undo": _measure_undo(running, sagas, counted=counted),
        }


def _measure_forward(running: Product, sagas: int, *, counted: bool) -> Sample:
    before, since = running.steps_in(StepStatus.DONE), running.now()

    def move() -> None:
        running.create_together([f"shop-{number}" for number in range(sagas)])
        running.await_all(lambda: running.steps_in(StepStatus.DONE) - before >= sagas * FORWARD_STEPS)

    def span() -> Span:
        ends = (EventType.STEP_COMPLETED, EventType.WELCOME_EMAIL_SENT)
        return running.span(EventType.STEP_STARTED, *ends, since=since)

    return sample(running.servers, running.processes, move, span, counted=counted)


def _measure_undo(running: Product, sagas: int, *, counted: bool) -> Sample:
    undone = running.tenants_in(TenantState.PENDING)
    looked = {fact.subject for fact in running.facts.read("looked")}
    tenant_ids = running.create_together([f"{WAITING}-{number}" for number in range(sagas)])
    running.await_all(lambda: len({fact.subject for fact in running.facts.read("looked")} - looked) == sagas)
    since = running.now()

    def move() -> None:
        running.cancel_together(tenant_ids)
        running.await_all(lambda: running.tenants_in(TenantState.PENDING) - undone == sagas)

    def span() -> Span:
        return running.span(EventType.CANCEL_REQUESTED, EventType.STEP_COMPENSATED, since=since)

    return sample(running.servers, running.processes, move, span, counted=counted)


def measure_chain(servers: Servers, kind: Kind, runs: int, *, counted: bool) -> Sample:
    """The least that a chain of steps can cost."""
    servers.renew(template="empty")
    with psycopg.connect(servers.database_url, autocommit=True, application_name=NAME) as connection:
        connection.execute(TABLE)
    client = redis.Redis.from_url(os.environ["TENANTRY_REDIS_URL"])
    broker = chain_worker.broker_of(client)
    broker.declare_queue(chain_worker.DURABLE_QUEUE)
    command = [sys.executable, "-m", "benchmarks.chain_worker", kind]
    with peers(servers, command, os.environ) as workers:
        began = 0.0

        def finished() -> int:
            return client.llen(ENDS) if kind is Kind.BARE else _ended_rows(servers)

        def move(first: int, number: int) -> None:
            nonlocal began
            _insert_rows(servers, first, number)
            began = time.time()
            for run in range(first, first + number):
                broker.enqueue(chain_worker.message(run, 0))
            await_condition(lambda: finished() >= first + number, within=TIMEOUT, poll=POLL)

        def span() -> Span:
            if kind is Kind.BARE:
                ends = client.lrange(ENDS, 0, -1)
                return Span(runs * chain_worker.STEPS, max(map(float, ends)) - began)
            return Span(runs * chain_worker.STEPS, _seconds_of_rows(servers, WARM_UP))

        move(0, WARM_UP)
        return sample(servers, workers, lambda: move(WARM_UP, runs), span, counted=counted)


def _insert_rows(servers: Servers, first: int, number: int) -> None:
    with psycopg.connect(servers.database_url, application_name=NAME) as connection:
        connection.execute("INSERT INTO chain SELECT generate_series(%s::int, %s::int)", [first, first + number - 1])


def _ended_rows(servers: Servers) -> int:
    return int(_value(servers, "SELECT count(*) FROM chain WHERE ended_at IS NOT NULL"))


def _seconds_of_rows(servers: Servers, first: int) -> float:
    taken = "SELECT extract(epoch FROM max(ended_at) - min(began_at)) FROM chain WHERE id >= {}"
    return _value(servers, taken, first)


def measure_dbos(servers: Servers, runs: int, *, counted: bool) -> Sample:
    """The same number of workflows of eight steps without work, on DBOS Transact."""
    servers.renew(template="empty")
    variables = {"PATH": os.environ["PATH"], "DBOS_ADDRESS": servers.database_url.replace(":", "+psycopg:", 1)}
    program = [str(PEER_PYTHON), "-P", str(ROOT / "benchmarks" / "dbos_program.py")]
    with peers(servers, [*program, "worker"], variables) as workers:

        def finished() -> int:
            return int(_value(servers, "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"))

        def move(number: int) -> None:
            before = finished()
            enqueue = [*program, "enqueue", str(number), str(chain_worker.STEPS)]
            subprocess.run(enqueue, env=variables, check=True, timeout=TIMEOUT)
            await_condition(lambda: finished() >= before + number, within=TIMEOUT, poll=POLL)

        def span() -> Span:
            return Span(runs * chain_worker.STEPS, _value(servers, DBOS_SECONDS, WARM_UP))

        move(WARM_UP)
        return sample(servers, workers, lambda: move(runs), span, counted=counted)


DBOS_SECONDS = """
    SELECT (max(completed_at) - min(started_at_epoch_ms)) / 1000.0
    FROM (SELECT * FROM dbos.workflow_status ORDER BY created_at OFFSET {}) AS measured
"""


def sample(
    servers: Servers,
    workers: Sequence[psutil.Process],
    move: Callable[[], None],
    span: Callable[[], Span],
    *,
    counted: bool,
) -> Sample:
    """Measure one burst of runs: its processor time, and either its duration or its statements."""
    if counted:
        with servers.counting() as statements:
            move()
        done = span()
        return Sample(done.events, done.seconds, {}, statements)
    meter = Meter(workers, servers)
    move()
    used, done = meter.used(), span()
    return Sample(done.events, done.seconds, used)


@contextmanager
def peers(servers: Servers, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[list[psutil.Process]]:
    """Two processes of a peer."""
    workers: list[Child] = []
    try:
        for number in range(WORKERS):
            log = servers.folder / f"peer-{servers.database}-{number}.log"
            worker = spawn("peer", command, log=log, environment=variables, timeout=30)
            workers.append(worker)
            worker.await_ready(lambda log=log: "worker started" in log.read_text(), within=60)  # type: ignore[misc]  # mypy does not infer the default of a lambda
        yield [psutil.Process(worker.process.pid) for worker in workers]
    finally:
        stop_all(workers)


def require_peer() -> None:
    """Raise OperatorError unless the peer is installed."""
    if not PEER_PYTHON.exists():
        raise OperatorError("DBOS Transact is not installed: run make bench, which installs it from bench.lock.")


def _value(servers: Servers, query: str, *values: int) -> float:
    with psycopg.connect(servers.database_url, application_name=NAME) as connection:
        row = connection.execute(sql.SQL(query).format(*values)).fetchone()
    assert row is not None, "an aggregate has a row"
    return float(row[0])
