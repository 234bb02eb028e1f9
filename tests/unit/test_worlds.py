"""The settings choose the world, and building one connects to nothing."""

from adapters import world
from adapters.edge_deployer import EdgeDeployer
from adapters.http_deployer import HttpDeployer
from adapters.simulated import SimulatedWorld
from adapters.smtp import NoMail, SmtpMailer
from provisioning.ports import World
from runtime.database import Database
from tests.outside import settings_with


def world_with(**more: object) -> World:
    settings = settings_with("postgresql://nobody@127.0.0.1:1/nothing", **more)
    return world(settings, Database(settings))


def test_the_built_in_runtime_without_mail_is_the_default() -> None:
    built = world_with()

    assert (type(built.deployer), type(built.mailer)) == (EdgeDeployer, NoMail)


def test_a_deployer_of_ones_own_can_be_named() -> None:
    assert isinstance(world_with(deployer="http", deployer_url="http://deployer").deployer, HttpDeployer)


def test_a_mail_relay_is_used_when_it_is_named() -> None:
    assert isinstance(world_with(smtp_host="relay").mailer, SmtpMailer)


def test_the_outside_can_be_kept_in_memory() -> None:
    assert world_with(world="simulated") == SimulatedWorld()
