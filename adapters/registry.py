"""Builds the infrastructure adapters that the settings name."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from adapters.edge_deployer import EdgeDeployer
from adapters.external_text import single_line
from adapters.guarded_calls import interruptible_port, limit_calls
from adapters.http_deployer import HttpDeployer
from adapters.identity import PostgresIdentity
from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from adapters.simulated import SimulatedInfrastructure
from adapters.smtp import NoMail, SmtpMailer
from adapters.traffic import HostNames
from provisioning.ports import Deployer, Infrastructure, Mailer
from runtime.database import Database
from runtime.programs import OperatorError
from runtime.settings import DeployerKind, Settings, SettingsRefused, WorldKind


def infrastructure(settings: Settings, database: Database) -> Infrastructure:
    """Build the adapters without connecting. Raises SettingsRefused when the deployer cannot be imported."""
    if settings.world is WorldKind.SIMULATED:
        return SimulatedInfrastructure(settings.tenant_domain)

    seal = Seal(settings.secret_key)
    storage = PostgresStorage(settings.tenants_database, seal)
    identity = PostgresIdentity(database, seal)
    traffic = HostNames(database, settings.tenant_domain)
    edge = EdgeDeployer(database, storage, identity, traffic, settings.tenant_domain)
    built = Infrastructure(
        storage=interruptible_port(storage),
        identity=interruptible_port(identity),
        traffic=interruptible_port(traffic),
        deployer=_deployer(settings, edge),
        mailer=_mailer(settings),
    )
    # The limit is outermost: a stop ends the wait for a slot, and a detached call keeps its slot.
    return built.with_each_port(lambda _, port: limit_calls(port, settings.adapter_calls))


def _deployer(settings: Settings, edge: EdgeDeployer) -> Deployer:
    match settings.deployer:
        case DeployerKind.EDGE:
            return edge
        case DeployerKind.HTTP:
            return HttpDeployer(settings.deployer_url, settings.deployer_token)
        case reference:
            return _custom_deployer(reference)


def _custom_deployer(reference: str) -> Deployer:
    try:
        make = factory(reference)
    except NoSuchFactory as error:
        raise SettingsRefused(f"Invalid value for TENANTRY_DEPLOYER: {error}") from error
    try:
        return cast("Deployer", make())
    except OperatorError:
        raise
    except Exception as error:
        raise SettingsRefused(
            f"{reference} of TENANTRY_DEPLOYER raised {type(error).__name__}: {single_line(str(error))}. "
            "It is called without arguments and returns your adapter."
        ) from error


def _mailer(settings: Settings) -> Mailer:
    return SmtpMailer.of(settings) if settings.smtp_host else NoMail()


class NoSuchFactory(OperatorError):
    """The reference does not name a callable. The message is one sentence for an operator."""


def factory(reference: str) -> Callable[[], Any]:
    """Import the factory. Raises NoSuchFactory."""
    module_name, _, name = reference.partition(":")
    if not (module_name and name):
        raise NoSuchFactory(f"{reference!r} is not of the form package.module:factory.")
    try:
        module = import_module(module_name)
    except Exception as error:
        reason = f"{error}" if isinstance(error, ImportError) else f"{type(error).__name__}: {single_line(str(error))}"
        raise NoSuchFactory(f"{module_name} cannot be imported: {reason}.") from error
    found = getattr(module, name, None)
    if found is None:
        raise NoSuchFactory(f"{module_name} has nothing called {name}.")
    if not callable(found):
        raise NoSuchFactory(f"{reference} is not something that can be called.")
    return found  # type: ignore[no-any-return]  # it is only known to be callable
