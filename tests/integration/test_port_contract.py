"""Every built-in adapter keeps the contract of its port. The checks are those of adapters.kit, and live there only."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from adapters import infrastructure
from adapters.fault_injection import Faults
from adapters.kit.ports import PORTS
from adapters.kit.running import run
from adapters.kit.subject import Factory, Subject
from adapters.simulated import SimulatedInfrastructure
from provisioning.ports import Infrastructure
from runtime.database import Database
from tests.builders import settings_with
from tests.local_deployer import local_deployer
from tests.mail_relay import FreePortController, MailRelay

CREATIONS = {"storage": "create", "identity": "create", "traffic": "reserve", "deployer": "deploy"}
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"

Build = Callable[..., Infrastructure]


@pytest.fixture
def build(database_url: str) -> Iterator[Build]:
    """Builds worlds as the settings ask for them."""
    with ExitStack() as stack:

        def built(url: str = database_url, **more: object) -> Infrastructure:
            settings = settings_with(url, **more)
            database = Database(settings)
            stack.callback(database.close)
            return infrastructure(settings, database)

        yield built


def crashing(port: str, outside: Infrastructure) -> Factory:
    """Creating has its effect, and raises."""

    def make() -> object:
        faults = Faults()
        faults.fail(f"{port}.{CREATIONS[port]}", after=True)
        return getattr(faults.wrap(outside), port)

    return make


def hanging(outside: Infrastructure) -> Factory:
    def make() -> object:
        faults = Faults()
        for method in ("deploy", "health", "tear_down"):
            faults.hang(f"deployer.{method}")
        return faults.wrap(outside).deployer

    return make


def cut_off(port: str, outside: Infrastructure) -> Factory:
    def make() -> object:
        faults = Faults()
        for method in ("create", "reserve", "deploy", "destroy", "release", "tear_down", "present"):
            if hasattr(getattr(outside, port), method):
                faults.fail(f"{port}.{method}", times=100)
        return getattr(faults.wrap(outside), port)

    return make


@pytest.mark.parametrize("port", CREATIONS)
def test_the_simulated_world_keeps_it(port: str) -> None:
    simulated = SimulatedInfrastructure()
    subject = Subject(
        make=lambda: getattr(simulated, port),
        unreachable=cut_off(port, simulated),
        crashing=crashing(port, simulated),
        hanging=hanging(simulated),
    )

    assert run(port, subject).exit_code == 0


@pytest.mark.parametrize("port", ["storage", "identity", "traffic"])
def test_the_real_world_keeps_it(build: Build, port: str) -> None:
    real, nowhere = build(), build(NOWHERE)
    subject = Subject(
        make=lambda: getattr(real, port),
        unreachable=lambda: getattr(nowhere, port),
        crashing=crashing(port, real),
    )

    assert run(port, subject).exit_code == 0


def test_the_deployer_of_the_edge_keeps_it(build: Build, database_url: str) -> None:
    real, nowhere = build(), build(NOWHERE)

    @contextmanager
    def locked() -> Iterator[object]:
        with psycopg.connect(database_url) as holder:
            holder.execute("LOCK TABLE workloads IN ACCESS EXCLUSIVE MODE")
            yield real.deployer

    subject = Subject(
        make=lambda: real.deployer,
        unreachable=lambda: nowhere.deployer,
        crashing=crashing("deployer", real),
        hanging=locked,
    )

    assert run("deployer", subject).exit_code == 0


def test_the_deployer_behind_http_keeps_it(build: Build) -> None:
    def world_of(address: str) -> Any:
        return build(deployer="http", deployer_url=address)

    with local_deployer() as there, local_deployer() as silent:
        silent.hanging = True
        here, mute, nowhere = map(world_of, (there.address, silent.address, "http://127.0.0.1:1"))
        subject = Subject(
            make=lambda: here.deployer,
            unreachable=lambda: nowhere.deployer,
            crashing=crashing("deployer", here),
            hanging=lambda: mute.deployer,
        )

        verdict = run("deployer", subject)
        for built in (here, mute, nowhere):
            built.deployer.close()

    assert verdict.exit_code == 0


def test_the_smtp_mailer_keeps_it(build: Build) -> None:
    relay = MailRelay()
    controller = FreePortController(relay, hostname="127.0.0.1")
    controller.start()
    here = build(smtp_host="127.0.0.1", smtp_port=controller.port)
    away = build(smtp_host="127.0.0.1", smtp_port=1)

    verdict = run("mailer", Subject(lambda: here.mailer, lambda: away.mailer, mail_to="ada@example.com"))
    controller.stop()

    assert verdict.exit_code == 0
    assert [envelope.rcpt_tos for envelope in relay.envelopes] == [["ada@example.com"]]


def test_every_port_is_held_to_it() -> None:
    assert set(PORTS) == set(CREATIONS) | {"mailer"} == set(Infrastructure.__dataclass_fields__)
