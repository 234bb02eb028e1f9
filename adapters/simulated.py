"""Infrastructure simulated in the memory of one process, with the same rules as the real adapters."""

import threading
from collections import Counter

from provisioning.ports import Health, Infrastructure, Mail, Refused, StopToken, TearDown, WorkloadOrder
from provisioning.resource_names import ResourceNames

Resource = tuple[str, str]
"""Kind and name, as in the ledger."""


class SimulatedInfrastructure(Infrastructure):
    """Equal to another instance with the same resources: compare it with a new one to check that nothing is held."""

    holdings: "Holdings"
    outbox: "Outbox"

    def __init__(self, domain: str = "localhost", *, probes_until_ready: int = 1) -> None:
        holdings, outbox = Holdings(), Outbox()
        super().__init__(
            storage=SimulatedStorage(holdings),
            identity=SimulatedIdentity(holdings),
            traffic=SimulatedTraffic(holdings, domain),
            deployer=SimulatedDeployer(holdings, probes_until_ready),
            mailer=outbox,
        )
        # The base class is frozen, which forbids plain assignments.
        object.__setattr__(self, "holdings", holdings)
        object.__setattr__(self, "outbox", outbox)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedInfrastructure) and self.holdings.resources() == other.holdings.resources()

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"SimulatedInfrastructure({sorted(self.holdings.resources())})"


class Holdings:
    """The resources that runs hold, and those that were destroyed. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Resource, str] = {}
        self._destroyed: set[tuple[str, Resource]] = set()

    def take(self, run: str, *resources: Resource) -> None:
        """Hold all of them. Raises Refused, and holds none, when another run holds one or one was destroyed."""
        with self._lock:
            for resource in resources:
                self._refuse(run, resource)
            self._held.update(dict.fromkeys(resources, run))

    def drop(self, run: str, *resources: Resource) -> None:
        """Release them, and refuse them to this run from now on."""
        with self._lock:
            self._destroyed.update((run, resource) for resource in resources)
            for resource in resources:
                if self._held.get(resource) == run:
                    del self._held[resource]

    def names(self, run: str, *resources: Resource) -> list[str]:
        """The names of these resources that this run holds."""
        with self._lock:
            return [resource[1] for resource in resources if self._held.get(resource) == run]

    def was_destroyed(self, run: str, *resources: Resource) -> bool:
        """Whether this run destroyed one of them."""
        with self._lock:
            return any((run, resource) in self._destroyed for resource in resources)

    def forget_destruction(self) -> None:
        """Break the rule that destroying is final: destroyed resources can be created again."""
        with self._lock:
            self._destroyed.clear()

    def resources(self) -> frozenset[Resource]:
        """All resources that are held."""
        with self._lock:
            return frozenset(self._held)

    def _refuse(self, run: str, resource: Resource) -> None:
        if (run, resource) in self._destroyed:
            raise Refused(f"{resource[1]} was destroyed earlier, so it is not created again.")
        if (holder := self._held.get(resource, run)) != run:
            raise Refused(f"The host name {resource[1]} is held by {holder}; release that one first.")


class SimulatedStorage:
    """Schema and role. Migrating needs both, as in a database."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def create(self, names: ResourceNames) -> None:
        """Create both."""
        self._holdings.take(names.stem, *_storage(names))

    def migrate(self, names: ResourceNames) -> None:
        """Do nothing. Raises Refused once the storage was destroyed, LookupError when it was never created."""
        if self.present(names):
            return
        if self._holdings.was_destroyed(names.stem, *_storage(names)):
            raise Refused(f"{names.schema} was destroyed earlier, so it is not migrated.")
        raise LookupError(f"There is no schema {names.schema}.")

    def destroy(self, names: ResourceNames) -> None:
        """Destroy both."""
        self._holdings.drop(names.stem, *_storage(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Return the names of the two that are held."""
        return self._holdings.names(names.stem, *_storage(names))


class SimulatedIdentity:
    """Signing key and first administrator's account."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def create(self, names: ResourceNames, first_admin_email: str) -> None:  # noqa: ARG002  # the port's signature
        """Create both."""
        self._holdings.take(names.stem, *_identity(names))

    def destroy(self, names: ResourceNames) -> None:
        """Destroy both."""
        self._holdings.drop(names.stem, *_identity(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Return the names of the two that are held."""
        return self._holdings.names(names.stem, *_identity(names))


class SimulatedTraffic:
    """The host name, which one run at a time may hold."""

    def __init__(self, holdings: Holdings, domain: str) -> None:
        self._holdings = holdings
        self._domain = domain

    def reserve(self, names: ResourceNames) -> None:
        """Create it."""
        self._holdings.take(names.stem, self._name(names))

    def release(self, names: ResourceNames) -> None:
        """Destroy it."""
        self._holdings.drop(names.stem, self._name(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Return its name if this run holds it."""
        return self._holdings.names(names.stem, self._name(names))

    def _name(self, names: ResourceNames) -> Resource:
        return ("host_name", f"{names.address}.{self._domain}")


class SimulatedDeployer:
    """A workload that is ready after a number of health probes.

    ``hanging_tear_down``: while it is set, a workload is not torn down, and this is the answer.
    """

    def __init__(self, holdings: Holdings, probes_until_ready: int) -> None:
        self._holdings = holdings
        self._probes_until_ready = probes_until_ready
        self._probes: Counter[str] = Counter()
        self.hanging_tear_down: TearDown | None = None

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Create it."""
        stop_token.checkpoint()
        self._holdings.take(order.names.stem, _workload(order.names))

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """Count a probe. The workload is ready after ``probes_until_ready`` probes."""
        stop_token.checkpoint()
        if not self.present(names):
            return Health(ready=False, percent=0, summary="The workload is not registered.")
        self._probes[names.workload] += 1
        probes = self._probes[names.workload]
        if probes < self._probes_until_ready:
            return Health(
                ready=False, percent=100 * probes // self._probes_until_ready, summary="The workload is starting."
            )
        return Health(ready=True, percent=100, summary="The workload is ready.")

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool | TearDown:
        """Destroy it."""
        stop_token.checkpoint()
        if self.hanging_tear_down is not None:
            return self.hanging_tear_down
        self._holdings.drop(names.stem, _workload(names))
        return not self.present(names)

    def present(self, names: ResourceNames) -> list[str]:
        """Return its name if it is held."""
        return self._holdings.names(names.stem, _workload(names))


class Outbox:
    """Stores every mail, in the order of sending."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        """Store the mail."""
        self.mails.append(mail)


def _storage(names: ResourceNames) -> tuple[Resource, Resource]:
    return ("postgres_role", names.role), ("postgres_schema", names.schema)


def _identity(names: ResourceNames) -> tuple[Resource, Resource]:
    return ("signing_key", names.signing_key), ("admin_account", names.account)


def _workload(names: ResourceNames) -> Resource:
    return ("workload", names.workload)
