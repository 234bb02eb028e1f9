"""Every built-in adapter keeps the contract of its port, as the checks of adapters.kit define it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from adapters import infrastructure
from adapters.fault_injection import Faults
from adapters.kit.ports import PORTS
from adapters.kit.runner import run
from adapters.kit.subject import Factory, Subject
from adapters.simulated import SimulatedInfrastructure
from provisioning.ports import Infrastructure
from runtime.database import Database
from tests.builders import settings_with
from tests.local_deployer import local_deployer
from tests.mail_relay import FreePortController, MailRelay

CREATIONS = {"storage": "create", "identity": "create", "traffic": "reserve", "deployer": "deploy"}
NOWHERE = "postgresql://user@127.0.0.1:1/none"

Build = Callable[..., Infrastructure]


@pytest.fixture
def build(database_url: str) -> Iterator[Build]:
    """Builds the infrastructure that the settings choose."""
    with ExitStack() as stack:

        def built(url: str = database_url, **more: object) -> Infrastructure:
            settings = settings_with(url, **more)
            database = Database(settings)
            stack.callback(database.close)
            return infrastructure(settings, database)

        yield built


def crashing(port: str, target: Infrastructure) -> Factory:
    """An adapter that creates the resource and then raises."""

    def make() -> object:
        faults = Faults()
        faults.fail(f"{port}.{CREATIONS[port]}", after=True)
        return getattr(faults.wrap(target), port)

    return make


def hanging(target: Infrastructure) -> Factory:
    def make() -> object:
        faults = Faults()
        for method in ("deploy", "health", "tear_down"):
            faults.hang(f"deployer.{method}")
        return faults.wrap(target).deployer

    return make


def unreachable(port: str, target: Infrastructure) -> Factory:
    def make() -> object:
        faults = Faults()
        for method in ("create", "reserve", "deploy", "destroy", "release", "tear_down", "present"):
            if hasattr(getattr(target, port), method):
                faults.fail(f"{port}.{method}", times=100)
        return getattr(faults.wrap(target), port)

    return make


@pytest.mark.parametrize("port", CREATIONS)
def test_the_simulated_adapters_keep_the_contract(port: str) -> None:
    simulated = SimulatedInfrastructure()
    subject = Subject(
        make=lambda: getattr(simulated, port),
        unreachable=unreachable(port, simulated),
        crashing=crashing(port, simulated),
        hanging=hanging(simulated),
    )

    assert run(port, subject).exit_code == 0


@pytest.mark.parametrize("port", ["storage", "identity", "traffic"])
def test_the_postgres_adapters_keep_the_contract(build: Build, port: str) -> None:
    real, nowhere = build(), build(NOWHERE)
    subject = Subject(
        make=lambda: getattr(real, port),
        unreachable=lambda: getattr(nowhere, port),
        crashing=crashing(port, real),
    )

    assert run(port, subject).exit_code == 0


def test_the_edge_deployer_keeps_the_contract(build: Build, database_url: str) -> None:
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


def test_the_http_deployer_keeps_the_contract(build: Build) -> None:
    def infrastructure_at(address: str) -> Any:
        return build(deployer="http", deployer_url=address)

    with local_deployer() as remote, local_deployer() as hanging_remote:
        hanging_remote.hanging = True
        built, unresponsive, nowhere = map(
            infrastructure_at, (remote.address, hanging_remote.address, "http://127.0.0.1:1")
        )
        subject = Subject(
            make=lambda: built.deployer,
            unreachable=lambda: nowhere.deployer,
            crashing=crashing("deployer", built),
            hanging=lambda: unresponsive.deployer,
        )

        result = run("deployer", subject)
        for each in (built, unresponsive, nowhere):
            each.deployer.close()

    assert result.exit_code == 0


def test_the_smtp_mailer_keeps_the_contract(build: Build) -> None:
    relay = MailRelay()
    controller = FreePortController(relay, hostname="127.0.0.1")
    controller.start()
    reachable = build(smtp_host="127.0.0.1", smtp_port=controller.port)
    unreachable = build(smtp_host="127.0.0.1", smtp_port=1)

    result = run("mailer", Subject(lambda: reachable.mailer, lambda: unreachable.mailer, mail_to="ada@example.com"))
    controller.stop()

    assert result.exit_code == 0
    assert [envelope.rcpt_tos for envelope in relay.envelopes] == [["ada@example.com"]]


def test_every_port_has_a_contract_test() -> None:
    assert set(PORTS) == set(CREATIONS) | {"mailer"} == set(Infrastructure.__dataclass_fields__)
