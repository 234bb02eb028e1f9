"""The ports: the interfaces of external systems, which adapters implement.

Three rules hold for every port, and the correctness of the saga depends on them:

* **Twice is once.** Creating a resource that exists succeeds, and so does destroying one that does not exist.
* **Destroying is final.** After a name was destroyed, creating it raises ``Refused``, even if that call began before
  the destruction. So a worker that was paused for minutes cannot leave a resource behind.
* **Gone means confirmed absent.** Destroying returns only after the resource was confirmed absent. If the external
  system cannot be reached it raises, because unreachable does not mean absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Protocol

from provisioning.resource_names import ResourceNames


class Refused(Exception):
    """A permanent failure: the external system or a rule refused, and a retry would not help.

    The message is for operators.
    """


class TryAgain(Exception):
    """A temporary failure: a retry may succeed. The message is for operators.

    ``retry_after`` is how long the external system asked to wait, if it did.
    """

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Scarce(TryAgain):
    """The external system has no capacity at the moment. The step waits for it, and no attempt is counted."""


class StopToken(Protocol):
    """Lets an adapter stop as soon as its step has to stop."""

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds. Raises StepStopped as soon as the step has to stop."""

    def checkpoint(self) -> None:
        """A safe point: raises StepStopped if the step has to stop."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a workload is ready, and its progress in percent."""

    ready: bool
    percent: int
    summary: str


@dataclass(frozen=True, slots=True)
class TearDown:
    """How far the removal of a workload is. It is true once the workload is confirmed absent.

    ``summary`` is shown to operators while they wait.
    """

    gone: bool
    summary: str
    percent: int | None = None

    def __bool__(self) -> bool:
        return self.gone


@dataclass(frozen=True, slots=True)
class WorkloadOrder:
    """The facts that a deployer needs to run a tenant's workload."""

    names: ResourceNames
    tenant_slug: str
    organisation_slug: str
    region: str
    plan: str
    host_name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail to one address."""

    to: str
    subject: str
    text: str


class Storage(Protocol):
    """A schema and a login role in the tenants' Postgres."""

    def create(self, names: ResourceNames) -> None:
        """Create both."""

    def migrate(self, names: ResourceNames) -> None:
        """Migrate the tables in the tenant's schema to the newest version."""

    def destroy(self, names: ResourceNames) -> None:
        """Destroy both, and confirm that they are absent."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of the run's resources that exist now. Asks the external system, not a record of past calls."""


class Identity(Protocol):
    """An ES256 signing key, its private part encrypted at rest, and the first administrator's pending account."""

    def create(self, names: ResourceNames, first_admin_email: str) -> None:
        """Create both."""

    def destroy(self, names: ResourceNames) -> None:
        """Destroy both, and confirm that they are absent."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of the run's resources that exist now. Asks the external system, not a record of past calls."""


class Traffic(Protocol):
    """The tenant's host name. Reserving it does not serve it: the edge decides by the tenant's state."""

    def reserve(self, names: ResourceNames) -> None:
        """Reserve the host name. Raises Refused if another tenant holds it."""

    def release(self, names: ResourceNames) -> None:
        """Release the host name, and confirm that it is free."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of the run's resources that exist now. Asks the external system, not a record of past calls."""


class Deployer(Protocol):
    """The system that runs the tenant's workload."""

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Start the workload. It may become ready later."""

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """The health of the workload now."""

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool | TearDown:
        """Tear the workload down. Returns whether it is confirmed absent; if not, the caller polls again."""

    def present(self, names: ResourceNames) -> list[str]:
        """Names of the run's resources that exist now. Asks the external system, not a record of past calls."""


class Mailer(Protocol):
    """Sends e-mail."""

    def send(self, mail: Mail) -> None:
        """Send the e-mail. Returns after the relay has accepted it."""


Perform = Callable[[str, Callable[..., object], tuple[Any, ...]], object]
"""Makes one call of a port: its name, such as ``storage.create``, its method and its arguments."""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """The external systems on which the steps act."""

    storage: Storage
    identity: Identity
    traffic: Traffic
    deployer: Deployer
    mailer: Mailer

    def with_each_port(self, wrap: Callable[[str, Any], Any]) -> "Infrastructure":
        """Infrastructure with ``wrap(name, port)`` in place of each port, also of a port that is added later."""
        return Infrastructure(**{port: wrap(port, getattr(self, port)) for port in PORTS})

    def intercepted(self, perform: Perform) -> "Infrastructure":
        """The same infrastructure, of which ``perform`` makes each call."""
        return self.with_each_port(lambda name, port: _InterceptedPort(name, port, perform))

    def present(self, names: ResourceNames) -> list[str]:
        """Names of the run's resources that exist in any adapter. Raises TryAgain if an adapter did not answer."""
        result = self.probe(names)
        result.require_every_answer()
        return result.found

    def probe(self, names: ResourceNames) -> "ProbeResult":
        """Probe every adapter for the run's resources, even if one of them does not answer."""
        result = ProbeResult([], [])
        for field in PROBED_PORTS:
            try:
                result.found.extend(getattr(self, field).present(names))
            except Exception as error:  # noqa: BLE001  # the failure of one adapter must not hide what the others find
                result.errors.append(error)
        return result


class _InterceptedPort:
    def __init__(self, name: str, port: object, perform: Perform) -> None:
        self._name = name
        self._port = port
        self._perform = perform

    def __getattr__(self, method: str) -> Callable[..., object]:
        original: Callable[..., object] = getattr(self._port, method)
        return lambda *args: self._perform(f"{self._name}.{method}", original, args)


PORTS: Mapping[str, Any] = {field.name: field.type for field in fields(Infrastructure)}
"""The interface of each port."""

PROBED_PORTS = [name for name, port in PORTS.items() if hasattr(port, "present")]
"""The ports that hold resources: each is probed, also a port that is added later."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The names that adapters found, and the errors of those that did not answer."""

    found: list[str]
    errors: list[Exception]

    def require_every_answer(self) -> None:
        """Raise TryAgain unless every adapter answered: unreachable does not mean absent."""
        if self.errors:
            raise TryAgain(f"An adapter did not answer the probe: {self.errors[0]}") from self.errors[0]
