"""The outside world as provisioning sees it. Adapters make these real.

Three rules hold for every port, and the saga's proofs stand on them:

* **Twice is once.** Creating what exists, and destroying what does not, succeeds.
* **Destroying is final.** Once a name was destroyed, creating it again raises ``Refused``, also when the creation
  had set out before. So a worker that was paused for minutes cannot leave anything behind.
* **Gone means seen to be gone.** Destroying returns only after the resource was confirmed absent; an outside that
  cannot be reached raises, because unreachable is not gone.
"""

from dataclasses import dataclass
from typing import Protocol

from provisioning.resource_names import ResourceNames


class Refused(Exception):
    """The outside, or a rule, says no for good: trying again would not help. The message is for an operator."""


class TryAgain(Exception):
    """It did not work this time, and may the next. The message is for an operator."""


class StopToken(Protocol):
    """Lets an adapter wait without outstaying a cancel."""

    def sleep(self, seconds: float) -> None:
        """Wait, or raise StepStopped as soon as the step is told to stop."""

    def checkpoint(self) -> None:
        """Raise StepStopped when the step was told to stop: a safe point."""


@dataclass(frozen=True, slots=True)
class Health:
    """How far a workload has come."""

    ready: bool
    percent: int
    summary: str


@dataclass(frozen=True, slots=True)
class WorkloadOrder:
    """What a deployer needs to know to run a tenant."""

    names: ResourceNames
    tenant_slug: str
    organisation_slug: str
    region: str
    plan: str
    host_name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one person."""

    to: str
    subject: str
    text: str


class Storage(Protocol):
    """A schema and a login role in the tenants' Postgres."""

    def create(self, names: ResourceNames) -> None:
        """Make both."""

    def migrate(self, names: ResourceNames) -> None:
        """Bring the tenant's own tables, inside its schema, to their newest version."""

    def destroy(self, names: ResourceNames) -> None:
        """Make both absent, and see that they are."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of what exists of this run, asked outside and not remembered."""


class Identity(Protocol):
    """An ES256 signing key, its private part encrypted at rest, and the first administrator's pending account."""

    def create(self, names: ResourceNames, first_admin_email: str) -> None:
        """Make both."""

    def destroy(self, names: ResourceNames) -> None:
        """Make both absent, and see that they are."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of what exists of this run, asked outside and not remembered."""


class Traffic(Protocol):
    """The tenant's host name. Reserved is not served: the edge answers by the tenant's state."""

    def reserve(self, names: ResourceNames) -> None:
        """Raises Refused when another tenant holds the name."""

    def release(self, names: ResourceNames) -> None:
        """Give the name back, and see that it is free."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of what exists of this run, asked outside and not remembered."""


class Deployer(Protocol):
    """Whoever runs the tenant's workload."""

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Start it; it may become ready later."""

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """How far it is by now."""

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        """Whether it is confirmed absent by now; False means ask again later."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of what exists of this run, asked outside and not remembered."""


class Mailer(Protocol):
    """Sends mail."""

    def send(self, mail: Mail) -> None:
        """Hand it over; returns once the relay has taken responsibility."""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Everything outside that the steps act on."""

    storage: Storage
    identity: Identity
    traffic: Traffic
    deployer: Deployer
    mailer: Mailer

    def present(self, names: ResourceNames) -> list[str]:
        """Every name that any adapter still finds for this run. Raises TryAgain when one of them did not answer."""
        result = self.probe(names)
        result.require_every_answer()
        return result.found

    def probe(self, names: ResourceNames) -> "ProbeResult":
        """Ask every adapter for this run, also when one of them does not answer."""
        result = ProbeResult([], [])
        for port in (self.storage, self.identity, self.traffic, self.deployer):
            try:
                result.found.extend(port.present(names))
            except Exception as error:  # noqa: BLE001  # whatever keeps one from answering must not hide the others
                result.errors.append(error)
        return result


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the adapters answered, and what kept others from answering."""

    found: list[str]
    errors: list[Exception]

    def require_every_answer(self) -> None:
        """Raise TryAgain unless every adapter answered: unreachable is not gone."""
        if self.errors:
            raise TryAgain(f"Not every adapter could be asked: {self.errors[0]}") from self.errors[0]
