"""The outside world that the settings ask for."""

from typing import cast

from adapters.capped import capped
from adapters.edge_deployer import EdgeDeployer
from adapters.factories import NoSuchFactory, factory
from adapters.http_deployer import HttpDeployer
from adapters.identity import PostgresIdentity
from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from adapters.simulated import SimulatedWorld
from adapters.smtp import NoMail, SmtpMailer
from adapters.traffic import HostNames
from adapters.unhurried import unhurried
from provisioning.ports import Deployer, Mailer, World
from runtime.database import Database
from runtime.settings import DeployerKind, Settings, SettingsRefused, WorldKind


def world(settings: Settings, database: Database) -> World:
    """Build it. Nothing is connected to before a step acts. Raises SettingsRefused for a deployer that is not there."""
    if settings.world is WorldKind.SIMULATED:
        return SimulatedWorld(settings.tenant_domain)

    seal = Seal(settings.secret_key)
    storage = PostgresStorage(settings.tenants_database, seal)
    identity = PostgresIdentity(database, seal)
    traffic = HostNames(database, settings.tenant_domain)
    edge = EdgeDeployer(database, storage, identity, traffic, settings.tenant_domain)
    return World(
        # The cap goes outside: a step waits for its place with patience, and a call that was left keeps its own.
        storage=capped(unhurried(storage), settings.adapter_calls),
        identity=capped(unhurried(identity), settings.adapter_calls),
        traffic=capped(unhurried(traffic), settings.adapter_calls),
        deployer=capped(_deployer(settings, edge), settings.adapter_calls),
        mailer=capped(_mailer(settings), settings.adapter_calls),
    )


def _deployer(settings: Settings, edge: EdgeDeployer) -> Deployer:
    match settings.deployer:
        case DeployerKind.EDGE:
            return edge
        case DeployerKind.HTTP:
            return HttpDeployer(settings.deployer_url, settings.deployer_token)
        case reference:
            return _deployer_of_ones_own(reference)


def _deployer_of_ones_own(reference: str) -> Deployer:
    try:
        return cast("Deployer", factory(reference)())
    except NoSuchFactory as error:
        raise SettingsRefused(f"TENANTRY_DEPLOYER makes no sense: {error}") from error


def _mailer(settings: Settings) -> Mailer:
    return SmtpMailer.of(settings) if settings.smtp_host else NoMail()
