"""An outside world kept in memory, by the same rules as the real one. It is as long and as wide as one process."""

import threading
from collections import Counter

from provisioning.ports import Health, Infrastructure, Mail, Refused, StopToken, WorkloadOrder
from provisioning.resource_names import ResourceNames

Resource = tuple[str, str]
"""Kind and name, as in the ledger."""


class SimulatedInfrastructure(Infrastructure):
    """Equal to another one when both hold the same resources: compare with a fresh one to see that nothing is held."""

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
        # A world is frozen, and a plain assignment would trip over that.
        object.__setattr__(self, "holdings", holdings)
        object.__setattr__(self, "outbox", outbox)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedInfrastructure) and self.holdings.resources() == other.holdings.resources()

    __hash__ = None  # type: ignore[assignment]  # it changes while it is used

    def __repr__(self) -> str:
        return f"SimulatedInfrastructure({sorted(self.holdings.resources())})"


class Holdings:
    """Which resources are held, by which run, and which were destroyed for ever. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Resource, str] = {}
        self._destroyed: set[tuple[str, Resource]] = set()

    def take(self, run: str, *resources: Resource) -> None:
        """Hold them. Raises Refused, and takes none, when one is another's or was destroyed."""
        with self._lock:
            for resource in resources:
                self._refuse(run, resource)
            self._held.update(dict.fromkeys(resources, run))

    def drop(self, run: str, *resources: Resource) -> None:
        """Hold them no more, and refuse them to this run from now on."""
        with self._lock:
            self._destroyed.update((run, resource) for resource in resources)
            for resource in resources:
                if self._held.get(resource) == run:
                    del self._held[resource]

    def names(self, run: str, *resources: Resource) -> list[str]:
        """Names of those of these resources that this run holds."""
        with self._lock:
            return [resource[1] for resource in resources if self._held.get(resource) == run]

    def was_destroyed(self, run: str, *resources: Resource) -> bool:
        """Whether this run destroyed one of them."""
        with self._lock:
            return any((run, resource) in self._destroyed for resource in resources)

    def forget_destruction(self) -> None:
        """Be an outside that breaks the rules: take again what was destroyed."""
        with self._lock:
            self._destroyed.clear()

    def resources(self) -> frozenset[Resource]:
        """Everything that anybody holds."""
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
        """Hold both."""
        self._holdings.take(names.stem, *_storage(names))

    def migrate(self, names: ResourceNames) -> None:
        """Look whether there is something to migrate. Raises Refused once it was destroyed, LookupError before."""
        if self.present(names):
            return
        if self._holdings.was_destroyed(names.stem, *_storage(names)):
            raise Refused(f"{names.schema} was destroyed earlier, so it is not migrated.")
        raise LookupError(f"There is no schema called {names.schema}.")

    def destroy(self, names: ResourceNames) -> None:
        """Drop both."""
        self._holdings.drop(names.stem, *_storage(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Which of the two are held."""
        return self._holdings.names(names.stem, *_storage(names))


class SimulatedIdentity:
    """Signing key and first administrator's account."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def create(self, names: ResourceNames, first_admin_email: str) -> None:  # noqa: ARG002  # the port's signature
        """Hold both."""
        self._holdings.take(names.stem, *_identity(names))

    def destroy(self, names: ResourceNames) -> None:
        """Drop both."""
        self._holdings.drop(names.stem, *_identity(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Which of the two are held."""
        return self._holdings.names(names.stem, *_identity(names))


class SimulatedTraffic:
    """The host name, which one run holds at a time."""

    def __init__(self, holdings: Holdings, domain: str) -> None:
        self._holdings = holdings
        self._domain = domain

    def reserve(self, names: ResourceNames) -> None:
        """Hold it."""
        self._holdings.take(names.stem, self._name(names))

    def release(self, names: ResourceNames) -> None:
        """Drop it."""
        self._holdings.drop(names.stem, self._name(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Give it, if this run holds it."""
        return self._holdings.names(names.stem, self._name(names))

    def _name(self, names: ResourceNames) -> Resource:
        return ("host_name", f"{names.address}.{self._domain}")


class SimulatedDeployer:
    """A workload that is ready once somebody has looked often enough."""

    def __init__(self, holdings: Holdings, probes_until_ready: int) -> None:
        self._holdings = holdings
        self._probes_until_ready = probes_until_ready
        self._looks: Counter[str] = Counter()

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        """Hold it."""
        stop_token.checkpoint()
        self._holdings.take(order.names.stem, _workload(order.names))

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        """Come one look nearer to being ready."""
        stop_token.checkpoint()
        if not self.present(names):
            return Health(ready=False, percent=0, summary="The workload is not registered.")
        self._looks[names.workload] += 1
        looks = self._looks[names.workload]
        if looks < self._probes_until_ready:
            return Health(ready=False, percent=100 * looks // self._probes_until_ready, summary="It is starting.")
        return Health(ready=True, percent=100, summary="It is ready.")

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        """Drop it."""
        stop_token.checkpoint()
        self._holdings.drop(names.stem, _workload(names))
        return not self.present(names)

    def present(self, names: ResourceNames) -> list[str]:
        """Give it, if it is held."""
        return self._holdings.names(names.stem, _workload(names))


class Outbox:
    """Keeps every mail, in the order in which they were sent."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        """Keep it."""
        self.mails.append(mail)


def _storage(names: ResourceNames) -> tuple[Resource, Resource]:
    return ("postgres_role", names.role), ("postgres_schema", names.schema)


def _identity(names: ResourceNames) -> tuple[Resource, Resource]:
    return ("signing_key", names.signing_key), ("admin_account", names.account)


def _workload(names: ResourceNames) -> Resource:
    return ("workload", names.workload)
