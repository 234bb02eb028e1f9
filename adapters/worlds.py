"""The outside world that the settings ask for."""

from adapters.edge_deployer import EdgeDeployer
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
from runtime.settings import DeployerKind, Settings, WorldKind


def world(settings: Settings, database: Database) -> World:
    """Build it. Nothing is connected to before a step acts."""
    if settings.world is WorldKind.SIMULATED:
        return SimulatedWorld(settings.tenant_domain)

    seal = Seal(settings.secret_key)
    storage = PostgresStorage(settings.tenants_database, seal)
    identity = PostgresIdentity(database, seal)
    traffic = HostNames(database, settings.tenant_domain)
    edge = EdgeDeployer(database, storage, identity, traffic, settings.tenant_domain)
    return World(
        unhurried(storage), unhurried(identity), unhurried(traffic), _deployer(settings, edge), _mailer(settings)
    )


def _deployer(settings: Settings, edge: EdgeDeployer) -> Deployer:
    if settings.deployer is DeployerKind.EDGE:
        return edge
    return HttpDeployer(settings.deployer_url, settings.deployer_token)


def _mailer(settings: Settings) -> Mailer:
    return SmtpMailer.of(settings) if settings.smtp_host else NoMail()
