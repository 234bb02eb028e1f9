"""A testbed: the product's processes with their servers, which a scenario can kill, pause, disconnect or restart."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from devserver import directories, product
from devserver.mailbox import mail_catcher
from devserver.options import HOST
from devserver.processes import Child, spawn
from devserver.servers import FAST, SUPERUSER, Postgres, Valkey
from runtime.migrations import ROOT, migrate
from runtime.settings import OTHER_CONNECTIONS, Settings
from tests.conformance.field.broker_relay import ReplyLosingRelay
from tests.conformance.field.failpoint_controller import FailpointController, serving_controller, until
from tests.conformance.field.postgres_relay import CommitCuttingRelay
from tests.conformance.field.relay import Relay
from tests.conformance.field.resource_counts import counts_file_name
from tests.conformance.field.standby import SOCKET, Standby
from tests.conftest import SECRET_KEY
from tests.http_client import HTTP
from tests.local_deployer import LocalDeployer, local_deployer

DATABASE = "tenantry"
DOMAIN = "localhost"
STARTED_WITHIN = 60.0
"""Seconds until a process has to be ready: it took 5 at a load of 20 on two cores. A precondition, not a promise."""

INFORMATION = re.compile(r'"info"|\bINFO\b')

ANSWERED_WITHIN = 40.0
"""Timeout of an API call in seconds, longer than any timeout of the API: it waits at most for a connection (10 s), a
lock (5 s) and a statement (10 s)."""

CONNECTION_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)


@dataclass(frozen=True)
class Options:
    """The options of a testbed. Times are in seconds."""

    workers: int = 2
    lease: float = 3.0
    sweep: float = 0.5
    lock_timeout: float = 5.0
    forward_threads: int = 4
    compensation_threads: int = 3
    pace: float = 0.0
    saga: str = ""
    clocks: tuple[float, ...] = ()
    """Shift of the wall clock of each worker process, in turn."""
    lose_every_reply: int = 0
    """Every n-th reply of the broker that contains messages gets lost; 0 loses none."""
    cut_commits: float = 0.0
    """The share of the workers' commits, with and without COMMIT, at which the connection is cut, before or after."""
    tenant_connections: int = 0
    """The CONNECTION LIMIT of a login of its own for tenants' storage; 0: no such login."""
    relayed: bool = False
    """Whether connections go through relays, so that they can be cut or hang."""
    undo_alarm: float = 120.0
    hints: str = "postgres"
    """What carries hints to other processes, as in the settings."""
    http_deployer: bool = False
    """Whether workloads run on a deployer behind HTTP, ``Testbed.deployer``, instead of the built-in one."""
    keep_runs: bool = False
    """Whether a worker keeps its run for the next moves, as in production. Otherwise each move has its own message and
    its own claim, at which a scenario can halt it."""
    postgres: tuple[tuple[str, str], ...] = ()
    """Settings of the Postgres server."""
    tenants_cluster: bool = False
    """Whether tenants have a Postgres cluster of their own, as in production."""
    without: str = ""
    """The mutant that all processes run, if any."""


@dataclass
class Testbed:
    """Real servers and processes. Scenarios observe them through the public API."""

    options: Options
    folder: Path
    controller: FailpointController
    postgres: Postgres
    valkey: Valkey
    settings: Settings
    environment: dict[str, str]
    mails: Path
    port: int
    relays: list[Relay]
    stack: ExitStack
    """Ends what is started later, after the processes of the product."""
    deployer: LocalDeployer | None = None
    workers: list[Child] = field(default_factory=list)
    api: Child | None = None
    server: Child | None = None
    broker: Child | None = None
    workers_started: int = 0
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=ANSWERED_WITHIN, trust_env=False, limits=CONNECTION_LIMITS)
    )
    """The HTTP client of every API client."""

    @property
    def address(self) -> str:
        """The address of the API."""
        return f"{HOST}:{self.port}"

    def start_workers(self, count: int = 1, *, saga: str | None = None) -> list[Child]:
        """Start worker processes and wait until they are ready."""
        fresh = [self._start_worker(self.options.saga if saga is None else saga) for _ in range(count)]
        for worker in fresh:
            worker.await_ready(partial(_is_ready, worker), within=STARTED_WITHIN)
        return fresh

    def kill(self, worker: Child) -> None:
        """Send SIGKILL to a worker."""
        self.workers.remove(worker)
        worker.process.kill()
        worker.process.wait()

    def stop_workers(self, *workers: Child) -> None:
        """Send SIGTERM, as a rolling restart does, and wait until the workers have ended."""
        for worker in workers:
            self.workers.remove(worker)
            worker.process.send_signal(worker.stop_signal)
        for worker in workers:
            worker.stop()

    def pause(self, worker: Child) -> None:
        """Send SIGSTOP to a worker."""
        worker.process.send_signal(signal.SIGSTOP)

    def resume(self, worker: Child) -> None:
        """Send SIGCONT to a worker."""
        worker.process.send_signal(signal.SIGCONT)

    def forget_dead_workers(self) -> None:
        """Remove workers that have died from the list."""
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]

    def replace_dead_workers(self) -> None:
        """Start a new worker for each that has died, as a supervisor does."""
        self.forget_dead_workers()
        if (missing := self.options.workers - len(self.workers)) > 0:
            self.start_workers(missing)

    def start_api(self, *, saga: str | None = None) -> None:
        """Start the API and wait until it answers."""
        arguments = ["server", "--", "serve", "--host", HOST, "--port", str(self.port)]
        self.api = self._spawn("api", self.options.saga if saga is None else saga, 0.0, arguments)
        self.api.await_ready(self._api_is_up, within=STARTED_WITHIN)

    def stop_api(self) -> None:
        """Stop the API as an operator does."""
        assert self.api is not None
        self.api.stop()

    def resource_counts(self) -> dict[str, int]:
        """The resources that the API process uses now: listeners, tasks, threads and open files."""
        assert self.api is not None
        process = self.api.process
        answer = self.folder / counts_file_name(process.pid)
        answer.unlink(missing_ok=True)
        process.send_signal(signal.SIGUSR1)
        until(answer.exists, "V13: the API does not write its resource counts")
        counted: dict[str, int] = json.loads(answer.read_text())
        return counted | {"files": psutil.Process(process.pid).num_fds()}

    def flush_broker(self) -> None:
        """FLUSHALL: delete every message and every other key."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def stop_broker(self) -> None:
        """Kill Valkey."""
        assert self.broker is not None
        self.broker.process.kill()
        self.broker.process.wait()

    def start_broker(self) -> None:
        """Start Valkey, which is empty then."""
        self.broker = self.valkey.start()

    def restart_postgres(self) -> None:
        """Crash and start Postgres: every connection ends, and open transactions are rolled back."""
        self.stop_postgres()
        self.start_postgres()

    def cut_listeners(self) -> None:
        """End the connections on which the processes listen, and on which workers hold their session locks."""
        with psycopg.connect(self.postgres.url(DATABASE), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenantry-listen'"
            )

    def stop_postgres(self) -> None:
        """Stop Postgres by an immediate shutdown: the next start recovers from the write-ahead log."""
        assert self.server is not None
        self.server.process.send_signal(signal.SIGQUIT)
        self.server.process.wait()

    def start_postgres(self) -> None:
        """Start Postgres and wait until it accepts connections."""
        self.server = self.postgres.start()

    def back_up_postgres(self) -> Path:
        """Take a physical backup: stop Postgres, copy its files, start it. Returns the copy."""
        backup = self.folder / "backup"
        self.stop_postgres()
        _copy(self.postgres.data, backup)
        self.start_postgres()
        return backup

    def restore_postgres(self, backup: Path) -> None:
        """Replace the files of Postgres by a backup. The processes of the product keep running."""
        self.stop_postgres()
        shutil.rmtree(self.postgres.data)
        _copy(backup, self.postgres.data)
        self.start_postgres()

    def start_standby(self) -> Standby:
        """Start a second Postgres that streams from the first."""
        socket = Path(str(conninfo_to_dict(self.postgres.url(DATABASE))["host"])) / SOCKET
        standby = Standby(self.postgres, socket, self.folder / "standby", FAST | dict(self.options.postgres))
        standby.start(self.stack)
        return standby

    def fail_over(self, standby: Standby) -> None:
        """Crash Postgres and promote the standby. The processes of the product reach it at the same address."""
        (database, *_) = self.relays
        self.stop_postgres()
        database.cut()
        standby.promote()
        self.postgres, self.server = standby.postgres, standby.server
        self.settings = self.settings.model_copy(update={"database_url": standby.postgres.url(DATABASE)})
        database.target = standby.socket
        database.restore()

    def close(self) -> None:
        """End all processes of the product."""
        self.http.close()
        self.controller.clear()
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
        for child in [*self.workers, self.api]:
            if child is not None:
                child.process.kill()
                child.process.wait()

    def log_excerpts(self, lines: int = 12) -> str:
        """Warnings and errors of the logs with the stack of every worker, for the message of a failed test."""
        found = []
        for worker in self.workers:
            worker.process.send_signal(signal.SIGUSR2)
        for log in sorted(self.folder.glob("*.log")):
            bad = [line for line in log.read_text(errors="replace").splitlines() if not INFORMATION.search(line)]
            found += [f"{log.name}: {line[:400]}" for line in bad[-lines:]]
        return "\n".join(found)

    def _start_worker(self, saga: str) -> Child:
        self.workers_started += 1
        clocks = self.options.clocks
        clock = clocks[self.workers_started % len(clocks)] if clocks else 0.0
        worker = self._spawn(f"worker-{self.workers_started}", saga, clock, ["workers"])
        self.workers.append(worker)
        return worker

    def _spawn(self, name: str, saga: str, clock: float, arguments: list[str]) -> Child:
        argv = [
            sys.executable,
            "-m",
            "tests.conformance.field.product_process",
            "--controller",
            str(self.folder / "controller"),
        ]
        argv += ["--keep-runs"] if self.options.keep_runs else []
        argv += ["--saga", saga, "--without", self.options.without, f"--clock={clock}", *arguments]
        return spawn(name, argv, log=self.folder / f"{name}.log", environment=self.environment, timeout=30)

    def _api_is_up(self) -> bool:
        try:
            return HTTP.get(f"http://{self.address}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with the owners of its files: Postgres refuses files of another user."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _is_ready(worker: Child) -> bool:
    return b"worker started" in worker.log.read_bytes()


@contextmanager
def running_testbed(options: Options) -> Iterator[Testbed]:
    """A new testbed with running workers, for the length of the block."""
    with ExitStack() as stack:
        folder = stack.enter_context(directories.temporary("tenantry-testbed-"))
        data = directories.prepare(folder / "data")
        stack.enter_context(directories.cleaned_up(data))
        postgres, valkey = Postgres(data, FAST | dict(options.postgres)), Valkey(data)
        server, broker = postgres.start(), valkey.start()
        postgres.create_database(DATABASE)
        relays, database_url, redis_url = _start_relays(options, data, postgres, valkey, stack)
        smtp_port = stack.enter_context(mail_catcher(folder / "mails"))
        port = product.port_for(0)
        controller = stack.enter_context(serving_controller(folder / "controller"))
        deployer = stack.enter_context(local_deployer()) if options.http_deployer else None
        common = _settings(options, smtp_port, port) | _deployer_settings(deployer)
        common |= _start_tenants_cluster(options, folder, stack)
        settings = Settings.model_validate(common | {"database_url": postgres.url(DATABASE), "redis_url": valkey.url})
        migrate(settings)
        addresses = {"database_url": database_url, "redis_url": redis_url} | _tenants_login(options, postgres)
        testbed = Testbed(
            options=options,
            folder=folder,
            controller=controller,
            postgres=postgres,
            valkey=valkey,
            settings=settings,
            environment=_environment(common | addresses),
            mails=folder / "mails",
            port=port,
            relays=relays,
            stack=stack,
            deployer=deployer,
            server=server,
            broker=broker,
        )
        try:
            testbed.start_workers(options.workers)
            testbed.start_api()
            yield testbed
        finally:
            testbed.close()
            for child in (testbed.broker, testbed.server):
                if child is not None:
                    child.stop()


def _start_tenants_cluster(options: Options, folder: Path, stack: ExitStack) -> dict[str, object]:
    """Start the Postgres of the tenants, if they have one of their own; returns the settings for it."""
    if not options.tenants_cluster:
        return {"development": True}
    (folder / "tenants").mkdir()
    data = directories.prepare(folder / "tenants" / "data")
    stack.enter_context(directories.cleaned_up(data))
    tenants = Postgres(data, FAST)
    stack.callback(tenants.start().stop)
    tenants.create_database("tenants")
    return {"tenants_database_url": tenants.url("tenants")}


def _start_relays(
    options: Options, data: directories.Directories, postgres: Postgres, valkey: Valkey, stack: ExitStack
) -> tuple[list[Relay], str, str]:
    """Start relays between the processes and the servers if needed; returns them and the addresses to use."""
    if not (options.relayed or options.lose_every_reply or options.cut_commits):
        return [], postgres.url(DATABASE), valkey.url
    folder = data.sockets / "relayed"
    folder.mkdir(exist_ok=True)
    postgres_socket, valkey_socket = data.sockets / ".s.PGSQL.5432", data.sockets / "valkey.sock"
    postgres_relay_socket, valkey_relay_socket = folder / ".s.PGSQL.5432", folder / "valkey.sock"
    database: Relay = Relay(postgres_socket, postgres_relay_socket)
    broker: Relay = Relay(valkey_socket, valkey_relay_socket)
    if options.cut_commits:
        database = CommitCuttingRelay(postgres_socket, postgres_relay_socket, share=options.cut_commits, seed=1)
    if options.lose_every_reply:
        broker = ReplyLosingRelay(valkey_socket, valkey_relay_socket, every=options.lose_every_reply)
    relays = [stack.enter_context(database), stack.enter_context(broker)]
    address = f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(folder), safe='')}"
    return relays, address, f"unix://{valkey_relay_socket}?db=0"


def _tenants_login(options: Options, postgres: Postgres) -> dict[str, object]:
    """Create a login for tenants' storage that may open few connections, if the options say so; returns its address."""
    if not options.tenant_connections:
        return {}
    limit = sql.Literal(options.tenant_connections)
    with psycopg.connect(postgres.url(DATABASE), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE tenants_login LOGIN CREATEROLE CONNECTION LIMIT {}").format(limit))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO tenants_login").format(sql.Identifier(DATABASE)))
    return {"tenants_database_url": postgres.url(DATABASE).replace(f"{SUPERUSER}@", "tenants_login@", 1)}


def _settings(options: Options, smtp_port: int, port: int) -> dict[str, object]:
    return {
        "secret_key": SECRET_KEY,
        "smtp_host": HOST,
        "smtp_port": smtp_port,
        "tenant_domain": DOMAIN,
        "tenant_port": port,
        "lease": timedelta(seconds=options.lease),
        "lease_renewal": timedelta(seconds=options.lease / 3),
        "sweep_interval": timedelta(seconds=options.sweep),
        "lock_timeout": timedelta(seconds=options.lock_timeout),
        "forward_threads": options.forward_threads,
        "compensation_threads": options.compensation_threads,
        "database_pool": max(20, options.forward_threads + options.compensation_threads + OTHER_CONNECTIONS),
        "pace": timedelta(seconds=options.pace),
        "undo_alarm": timedelta(seconds=options.undo_alarm),
        "hints": options.hints,
        "budget": 1_000_000_000,
        "organisation_budget": 1_000_000_000,
        "operation_cost": 1_000_000_000,
        "budget_refill": 1_000_000_000,
    }


def _deployer_settings(deployer: LocalDeployer | None) -> dict[str, object]:
    return {} if deployer is None else {"deployer": "http", "deployer_url": deployer.address}


def _environment(values: dict[str, object]) -> dict[str, str]:
    variables = {
        f"TENANTRY_{name.upper()}": str(value.total_seconds()) if isinstance(value, timedelta) else str(value)
        for name, value in values.items()
    }
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return inherited | variables | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "dramatiq_restart_delay": "500"}
