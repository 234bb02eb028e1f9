"""The product's processes and the servers under them: a story may kill, pause, cut off or restart each."""

import json
import os
import re
import signal
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
import redis

from devserver import directories, product
from devserver.mailbox import mail_catcher
from devserver.options import HOST
from devserver.processes import Child, spawn
from devserver.servers import FAST, SUPERUSER, Postgres, Valkey
from runtime.migrations import ROOT, migrate
from runtime.settings import OTHER_CONNECTIONS, Settings
from tests.conformance.field.broker_relay import LosesReplies
from tests.conformance.field.census import census_name
from tests.conformance.field.director import Director, directing, until
from tests.conformance.field.postgres_relay import CutsCommits
from tests.conformance.field.relay import Relay
from tests.conftest import SECRET_KEY

DATABASE = "tenantry"
DOMAIN = "localhost"
STARTED_WITHIN = 60.0
"""Seconds until a process has to work: it took 5 at a load of 20 on two cores. A precondition, no promise."""

INFORMATION = re.compile(r'"info"|\bINFO\b')

ANSWERED_WITHIN = 40.0
"""Seconds until a call of the API is given up: it waits for a connection (10 s), a lock (5 s) and a statement (10 s)
at the most, and longer than the API itself does nobody here."""

MANY = httpx.Limits(max_connections=100, max_keepalive_connections=50)


@dataclass(frozen=True)
class Wishes:
    """How a field is laid out. Times are in seconds."""

    workers: int = 2
    lease: float = 3.0
    sweep: float = 0.5
    lock_timeout: float = 5.0
    forward_threads: int = 4
    compensation_threads: int = 3
    pace: float = 0.0
    saga: str = ""
    clocks: tuple[float, ...] = ()
    """By how much the wall clock of each worker process is wrong, in turn."""
    lose_every_reply: int = 0
    """The broker's n-th answer with messages in it gets lost."""
    cut_commits: float = 0.0
    """The share of the workers' COMMITs at which the link is cut, on one side of it or the other."""
    relayed: bool = False
    """Whether links go through relays at all, so that they can be cut and hang."""
    without: str = ""
    """A protection that is taken away."""


@dataclass
class Field:
    """Real servers, real processes. Everything that is told to a story goes through the public API."""

    wishes: Wishes
    folder: Path
    director: Director
    postgres: Postgres
    valkey: Valkey
    settings: Settings
    environment: dict[str, str]
    mails: Path
    port: int
    relays: list[Relay]
    workers: list[Child] = field(default_factory=list)
    api: Child | None = None
    server: Child | None = None
    broker: Child | None = None
    hired: int = 0
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=ANSWERED_WITHIN, trust_env=False, limits=MANY)
    )
    """How everybody calls the API."""

    @property
    def address(self) -> str:
        """Where the API listens."""
        return f"{HOST}:{self.port}"

    def hire(self, count: int = 1, *, saga: str | None = None) -> list[Child]:
        """Start worker processes, and answer once they work."""
        fresh = [self._hire(self.wishes.saga if saga is None else saga) for _ in range(count)]
        for worker in fresh:
            worker.await_ready(partial(_works, worker), within=STARTED_WITHIN)
        return fresh

    def kill(self, worker: Child) -> None:
        """SIGKILL: nothing is said good-bye to."""
        self.workers.remove(worker)
        worker.process.kill()
        worker.process.wait()

    def kill_by_pid(self, pid: int) -> None:
        """The same, for whoever was met at a moment."""
        self.kill(self.worker_of(pid))

    def worker_of(self, pid: int) -> Child:
        """Whoever was met at a moment."""
        return next(worker for worker in self.workers if worker.process.pid == pid)

    def dismiss(self, *workers: Child) -> None:
        """SIGTERM, as a rolling restart does; answers when they have ended."""
        for worker in workers:
            self.workers.remove(worker)
            worker.process.send_signal(worker.stop_signal)
        for worker in workers:
            worker.stop()

    def pause(self, worker: Child) -> None:
        """SIGSTOP: it lives, and does nothing."""
        worker.process.send_signal(signal.SIGSTOP)

    def go_on(self, worker: Child) -> None:
        """SIGCONT."""
        worker.process.send_signal(signal.SIGCONT)

    def bury_the_dead(self) -> None:
        """Forget workers that died by themselves."""
        self.workers = [worker for worker in self.workers if worker.process.poll() is None]

    def keep_up(self) -> None:
        """Start as many workers as have died, as a supervisor does."""
        self.bury_the_dead()
        if (missing := self.wishes.workers - len(self.workers)) > 0:
            self.hire(missing)

    def start_api(self, *, saga: str | None = None) -> None:
        """Start the API, and answer once it answers."""
        arguments = ["server", "--", "serve", "--host", HOST, "--port", str(self.port)]
        self.api = self._stage("api", self.wishes.saga if saga is None else saga, 0.0, arguments)
        self.api.await_ready(self._answers, within=STARTED_WITHIN)

    def stop_api(self) -> None:
        """Stop it as an operator does."""
        assert self.api is not None
        self.api.stop()

    def census(self) -> dict[str, int]:
        """What the API process holds on to now: its own count, and its open files as the system sees them."""
        assert self.api is not None
        process = self.api.process
        answer = self.folder / census_name(process.pid)
        answer.unlink(missing_ok=True)
        process.send_signal(signal.SIGUSR1)
        until(answer.exists, "V13: the API does not count")
        counted: dict[str, int] = json.loads(answer.read_text())
        return counted | {"files": psutil.Process(process.pid).num_fds()}

    def flush_broker(self) -> None:
        """FLUSHALL: every message and every mark is gone."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def stop_broker(self) -> None:
        """Valkey is away."""
        assert self.broker is not None
        self.broker.process.kill()
        self.broker.process.wait()

    def start_broker(self) -> None:
        """Valkey is back, and empty."""
        self.broker = self.valkey.start()

    def restart_postgres(self) -> None:
        """Immediate shutdown and start: every connection dies, and what had not committed is gone."""
        self.stop_postgres()
        self.start_postgres()

    def stop_postgres(self) -> None:
        """Kill it as a crash does: the next start recovers from the log."""
        assert self.server is not None
        self.server.process.send_signal(signal.SIGQUIT)
        self.server.process.wait()

    def start_postgres(self) -> None:
        """Start it, and answer when it takes connections."""
        self.server = self.postgres.start()

    def close(self) -> None:
        """Everything ends."""
        self.http.close()
        self.director.clear()
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
        for child in [*self.workers, self.api]:
            if child is not None:
                child.process.kill()
                child.process.wait()

    def complaints(self, lines: int = 12) -> str:
        """What the logs warn of and what every worker does, for whoever has to find out what went wrong."""
        found = []
        for worker in self.workers:
            worker.process.send_signal(signal.SIGUSR2)
        for log in sorted(self.folder.glob("*.log")):
            bad = [line for line in log.read_text(errors="replace").splitlines() if not INFORMATION.search(line)]
            found += [f"{log.name}: {line[:400]}" for line in bad[-lines:]]
        return "\n".join(found)

    def _hire(self, saga: str) -> Child:
        self.hired += 1
        clocks = self.wishes.clocks
        clock = clocks[self.hired % len(clocks)] if clocks else 0.0
        worker = self._stage(f"worker-{self.hired}", saga, clock, ["workers"])
        self.workers.append(worker)
        return worker

    def _stage(self, name: str, saga: str, clock: float, arguments: list[str]) -> Child:
        argv = [sys.executable, "-m", "tests.conformance.field.staged", "--director", str(self.folder / "director")]
        argv += ["--saga", saga, "--without", self.wishes.without, f"--clock={clock}", *arguments]
        return spawn(name, argv, log=self.folder / f"{name}.log", environment=self.environment, timeout=30)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://{self.address}/healthz", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False


def _works(worker: Child) -> bool:
    return b"worker started" in worker.log.read_bytes()


@contextmanager
def laid_out(wishes: Wishes) -> Iterator[Field]:
    """A field of its own, with its workers at work, for the length of the block."""
    with ExitStack() as stack:
        folder = stack.enter_context(directories.temporary("tenantry-field-"))
        settled = directories.prepare(folder / "data")
        stack.enter_context(directories.cleaned_up(settled))
        postgres, valkey = Postgres(settled, FAST), Valkey(settled)
        server, broker = postgres.start(), valkey.start()
        postgres.create_database(DATABASE)
        relays, database_url, redis_url = _links(wishes, settled, postgres, valkey, stack)
        smtp_port = stack.enter_context(mail_catcher(folder / "mails"))
        port = product.port_for(0)
        director = stack.enter_context(directing(folder / "director"))
        common = _settings(wishes, smtp_port, port)
        settings = Settings.model_validate(common | {"database_url": postgres.url(DATABASE), "redis_url": valkey.url})
        migrate(settings)
        field_ = Field(
            wishes=wishes,
            folder=folder,
            director=director,
            postgres=postgres,
            valkey=valkey,
            settings=settings,
            environment=_environment(common | {"database_url": database_url, "redis_url": redis_url}),
            mails=folder / "mails",
            port=port,
            relays=relays,
            server=server,
            broker=broker,
        )
        try:
            field_.hire(wishes.workers)
            field_.start_api()
            yield field_
        finally:
            field_.close()
            for child in (field_.broker, field_.server):
                if child is not None:
                    child.stop()


def _links(
    wishes: Wishes, settled: directories.Directories, postgres: Postgres, valkey: Valkey, stack: ExitStack
) -> tuple[list[Relay], str, str]:
    """What stands between the processes and the servers, and the addresses they then use."""
    if not (wishes.relayed or wishes.lose_every_reply or wishes.cut_commits):
        return [], postgres.url(DATABASE), valkey.url
    folder = settled.sockets / "relayed"
    folder.mkdir(exist_ok=True)
    to_postgres, to_valkey = settled.sockets / ".s.PGSQL.5432", settled.sockets / "valkey.sock"
    at_postgres, at_valkey = folder / ".s.PGSQL.5432", folder / "valkey.sock"
    database: Relay = Relay(to_postgres, at_postgres)
    broker: Relay = Relay(to_valkey, at_valkey)
    if wishes.cut_commits:
        database = CutsCommits(to_postgres, at_postgres, share=wishes.cut_commits, seed=1)
    if wishes.lose_every_reply:
        broker = LosesReplies(to_valkey, at_valkey, every=wishes.lose_every_reply)
    relays = [stack.enter_context(database), stack.enter_context(broker)]
    address = f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(folder), safe='')}"
    return relays, address, f"unix://{at_valkey}?db=0"


def _settings(wishes: Wishes, smtp_port: int, port: int) -> dict[str, object]:
    return {
        "secret_key": SECRET_KEY,
        "smtp_host": HOST,
        "smtp_port": smtp_port,
        "tenant_domain": DOMAIN,
        "tenant_port": port,
        "lease": timedelta(seconds=wishes.lease),
        "lease_renewal": timedelta(seconds=wishes.lease / 3),
        "sweep_interval": timedelta(seconds=wishes.sweep),
        "lock_timeout": timedelta(seconds=wishes.lock_timeout),
        "forward_threads": wishes.forward_threads,
        "compensation_threads": wishes.compensation_threads,
        "database_pool": max(20, wishes.forward_threads + wishes.compensation_threads + OTHER_CONNECTIONS),
        "pace": timedelta(seconds=wishes.pace),
        "budget": 1_000_000_000,
        "budget_refill": 1_000_000_000,
    }


def _environment(values: dict[str, object]) -> dict[str, str]:
    said = {
        f"TENANTRY_{name.upper()}": str(value.total_seconds()) if isinstance(value, timedelta) else str(value)
        for name, value in values.items()
    }
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return inherited | said | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "dramatiq_restart_delay": "500"}
