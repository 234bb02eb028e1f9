"""One start of the whole product: everything up in order, one page of text, everything down in reverse."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from sqlalchemy.exc import OperationalError

from devserver import page, places, product
from devserver.held_resources import held
from devserver.mailbox import mail_catcher
from devserver.options import Options
from devserver.places import Places
from devserver.processes import Register
from devserver.product import write_private
from devserver.refusal import Refused
from devserver.seed import seed
from devserver.servers import Postgres, Valkey
from devserver.supervisor import Supervisor
from devserver.tokens import tokens
from runtime.database import Database
from runtime.migrations import MigrationRefused, migrate
from runtime.settings import Settings, SettingsRefused, settings

DATABASE = "tenantry"
LOOK_EVERY_SECONDS = 0.3
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Running:
    """The product while it runs."""

    options: Options
    supervisor: Supervisor
    psql: str


def run(options: Options) -> int:
    """Run until somebody asks to stop. Raises Refused."""
    with stoppable():
        try:
            _run(options)
        except KeyboardInterrupt:
            tell("Stopped; the next start goes on from here.")
    return 0


def _run(options: Options) -> None:
    with up(options) as running:
        tell(page.welcome(running.options, running.psql))
        while True:
            time.sleep(LOOK_EVERY_SECONDS)
            running.supervisor.tend()


@contextmanager
def up(options: Options) -> Iterator[Running]:
    """Bring the product up; at the end of the block take it down again. Raises Refused."""
    settled = places.settle(options.data)
    if settled.note:
        tell(settled.note)
    with held(settled.data):
        register = Register(settled.data / "processes.json")
        if ended := register.end_leftovers():
            tell(f"Ended what an earlier start left running: {', '.join(ended)}.")
        options = replace(options, data=settled.data, port=product.port_for(options.port))
        with (
            places.left_clean(settled),
            mail_catcher(settled.data / "mails") as smtp_port,
            _supervised(register) as supervisor,
        ):
            yield _bring_up(options, settled, supervisor, smtp_port)


@contextmanager
def _supervised(register: Register) -> Iterator[Supervisor]:
    supervisor = Supervisor(register, tell)
    try:
        yield supervisor
    finally:
        # A second Ctrl-C would leave half of it behind. Everything that is stopped has a limited patience.
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        supervisor.stop()


def _bring_up(options: Options, settled: Places, supervisor: Supervisor, smtp_port: int) -> Running:
    postgres, valkey = Postgres(settled, {}), Valkey(settled)
    variables = product.environment(
        options, database_url=postgres.url(DATABASE), redis_url=valkey.url, smtp_port=smtp_port
    )
    chosen = _settle_on(variables)
    if chosen.database_url == postgres.url(DATABASE):
        supervisor.start(postgres.start)
        postgres.create_database(DATABASE)
    if chosen.redis_url == valkey.url:
        supervisor.start(valkey.start)
    _migrate(chosen)
    # The people are seeded while the processes are still loading their programs.
    *_, api = supervisor.start(
        *product.workers(options, variables, settled.logs), product.api(options, variables, settled.logs)
    )
    _seed(chosen, options)
    product.await_api(api, options)
    embedded = chosen.database_url == postgres.url(DATABASE)
    return Running(options, supervisor, postgres.psql(DATABASE) if embedded else 'psql "$TENANTRY_DATABASE_URL"')


def _settle_on(variables: dict[str, str]) -> Settings:
    """Use the same settings as the processes that follow. Raises Refused."""
    os.environ.update(variables)
    try:
        return settings()
    except SettingsRefused as refusal:
        raise Refused(str(refusal)) from None


def _migrate(chosen: Settings) -> None:
    try:
        migrate(chosen)
    except (OperationalError, MigrationRefused) as error:
        reason = str(getattr(error, "orig", error)).strip()
        raise Refused(f"The database cannot be brought to the schema of this release: {reason}") from error


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
    """Treat a polite end and a closed terminal like a Ctrl-C."""
    for number in STOPPING:
        signal.signal(number, _interrupt)
    yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def tell(text: str) -> None:
    """Say something to the person at the terminal."""
    print(text, flush=True)  # noqa: T201  # the page of text is this program's product
