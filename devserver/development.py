"""One start of the whole product, from the embedded servers to the welcome page."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy.exc import OperationalError

from devserver import directories, product, welcome_page
from devserver.data_lock import locked
from devserver.directories import Directories
from devserver.errors import DevserverError
from devserver.mailbox import mail_catcher
from devserver.options import Options
from devserver.processes import Register
from devserver.product import write_private
from devserver.seed import seed
from devserver.servers import Postgres, Valkey
from devserver.supervisor import Supervisor
from devserver.tokens import tokens
from runtime.database import Database
from runtime.migrations import MigrationRefused, migrate
from runtime.programs import handle_signals
from runtime.settings import Settings, SettingsRefused, settings

DATABASE = "tenantry"
POLL_SECONDS = 0.3
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Running:
    """The running product."""

    options: Options
    supervisor: Supervisor
    psql: str


def run(options: Options) -> int:
    """Run until Ctrl-C or a stop signal. Raises DevserverError."""
    with stoppable():
        try:
            _run(options)
        except KeyboardInterrupt:
            print_line("Stopped. The data are kept for the next start.")
    return 0


def _run(options: Options) -> None:
    with up(options) as running:
        print_line(welcome_page.text(running.options, running.psql))
        while True:
            time.sleep(POLL_SECONDS)
            running.supervisor.restart_ended()


@contextmanager
def up(options: Options) -> Iterator[Running]:
    """Start the product, and stop it at the end of the block. Raises DevserverError."""
    prepared = directories.prepare(options.data)
    if prepared.note:
        print_line(prepared.note)
    with locked(prepared.data):
        register = Register(prepared.data / "processes.json")
        if ended := register.end_leftovers():
            print_line(f"Stopped processes that an earlier start left running: {', '.join(ended)}.")
        options = replace(options, data=prepared.data, port=product.port_for(options.port))
        with (
            directories.cleaned_up(prepared),
            mail_catcher(prepared.data / "mails") as smtp_port,
            _supervised(register) as supervisor,
        ):
            yield _bring_up(options, prepared, supervisor, smtp_port)


@contextmanager
def _supervised(register: Register) -> Iterator[Supervisor]:
    supervisor = Supervisor(register, print_line)
    try:
        yield supervisor
    finally:
        # Ignore a second Ctrl-C: it would leave processes running. Stopping each process has a timeout.
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        supervisor.stop()


def _bring_up(options: Options, prepared: Directories, supervisor: Supervisor, smtp_port: int) -> Running:
    postgres, valkey = Postgres(prepared, {}), Valkey(prepared)
    variables = product.environment(
        options, database_url=postgres.url(DATABASE), redis_url=valkey.url, smtp_port=smtp_port
    )
    chosen = _apply_settings(variables)
    if chosen.database_url == postgres.url(DATABASE):
        supervisor.start(postgres.start)
        postgres.create_database(DATABASE)
    if chosen.redis_url == valkey.url:
        supervisor.start(valkey.start)
    _migrate(chosen)
    # The seed runs while the processes are still starting.
    *_, api = supervisor.start(
        *product.workers(options, variables, prepared.logs), product.api(options, variables, prepared.logs)
    )
    _seed(chosen, options)
    product.await_api(api, options)
    embedded = chosen.database_url == postgres.url(DATABASE)
    return Running(options, supervisor, postgres.psql(DATABASE) if embedded else 'psql "$TENANTRY_DATABASE_URL"')


def _apply_settings(variables: dict[str, str]) -> Settings:
    """Use the same settings in this process as in its child processes. Raises DevserverError."""
    os.environ.update(variables)
    try:
        return settings()
    except SettingsRefused as error:
        raise DevserverError(str(error)) from None


def _migrate(chosen: Settings) -> None:
    try:
        migrate(chosen)
    except (OperationalError, MigrationRefused) as error:
        reason = str(getattr(error, "orig", error)).strip()
        raise DevserverError(f"The database cannot be migrated to this release: {reason}") from error


def _seed(chosen: Settings, options: Options) -> None:
    database = Database(chosen, name="devserver")
    try:
        database.transact(seed)
        made = database.transact(tokens, chosen)
    finally:
        database.close()
    write_private(options.data / "tokens.json", json.dumps(made, indent=2) + "\n")


@contextmanager
def stoppable() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP (a closed terminal) like Ctrl-C, unless they are ignored, as under nohup."""
    handle_signals(_interrupt, *STOPPING)
    yield


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def print_line(text: str) -> None:
    """Print a text on the terminal."""
    print(text, flush=True)  # noqa: T201  # the output of this program
