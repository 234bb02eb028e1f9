"""An outside world kept in memory, by the same rules as the real one. It is as long and as wide as one process."""

import threading
from collections import Counter

from provisioning.footprint import Footprint
from provisioning.ports import Health, Mail, Patience, Refused, WorkloadOrder, World

Resource = tuple[str, str]
"""Kind and name, as in the ledger."""


class SimulatedWorld(World):
    """Equal to another one when both hold the same resources: compare with a fresh one to see that nothing is held."""

    holdings: "Holdings"
    outbox: "Outbox"

    def __init__(self, domain: str = "localhost", *, looks_until_ready: int = 1) -> None:
        holdings, outbox = Holdings(), Outbox()
        super().__init__(
            storage=SimulatedStorage(holdings),
            identity=SimulatedIdentity(holdings),
            traffic=SimulatedTraffic(holdings, domain),
            deployer=SimulatedDeployer(holdings, looks_until_ready),
            mailer=outbox,
        )
        # A world is frozen, and a plain assignment would trip over that.
        object.__setattr__(self, "holdings", holdings)
        object.__setattr__(self, "outbox", outbox)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedWorld) and self.holdings.resources() == other.holdings.resources()

    __hash__ = None  # type: ignore[assignment]  # it changes while it is used

    def __repr__(self) -> str:
        return f"SimulatedWorld({sorted(self.holdings.resources())})"


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

    def create(self, footprint: Footprint) -> None:
        """Hold both."""
        self._holdings.take(footprint.stem, *_storage(footprint))

    def migrate(self, footprint: Footprint) -> None:
        """Look whether there is something to migrate. Raises Refused once it was destroyed, LookupError before."""
        if self.present(footprint):
            return
        if self._holdings.was_destroyed(footprint.stem, *_storage(footprint)):
            raise Refused(f"{footprint.schema} was destroyed earlier, so it is not migrated.")
        raise LookupError(f"There is no schema called {footprint.schema}.")

    def destroy(self, footprint: Footprint) -> None:
        """Drop both."""
        self._holdings.drop(footprint.stem, *_storage(footprint))

    def present(self, footprint: Footprint) -> list[str]:
        """Which of the two are held."""
        return self._holdings.names(footprint.stem, *_storage(footprint))


class SimulatedIdentity:
    """Signing key and first administrator's account."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def create(self, footprint: Footprint, first_admin_email: str) -> None:  # noqa: ARG002  # the port's signature
        """Hold both."""
        self._holdings.take(footprint.stem, *_identity(footprint))

    def destroy(self, footprint: Footprint) -> None:
        """Drop both."""
        self._holdings.drop(footprint.stem, *_identity(footprint))

    def present(self, footprint: Footprint) -> list[str]:
        """Which of the two are held."""
        return self._holdings.names(footprint.stem, *_identity(footprint))


class SimulatedTraffic:
    """The host name, which one run holds at a time."""

    def __init__(self, holdings: Holdings, domain: str) -> None:
        self._holdings = holdings
        self._domain = domain

    def reserve(self, footprint: Footprint) -> None:
        """Hold it."""
        self._holdings.take(footprint.stem, self._name(footprint))

    def release(self, footprint: Footprint) -> None:
        """Drop it."""
        self._holdings.drop(footprint.stem, self._name(footprint))

    def present(self, footprint: Footprint) -> list[str]:
        """Give it, if this run holds it."""
        return self._holdings.names(footprint.stem, self._name(footprint))

    def _name(self, footprint: Footprint) -> Resource:
        return ("host_name", f"{footprint.address}.{self._domain}")


class SimulatedDeployer:
    """A workload that is ready once somebody has looked often enough."""

    def __init__(self, holdings: Holdings, looks_until_ready: int) -> None:
        self._holdings = holdings
        self._looks_until_ready = looks_until_ready
        self._looks: Counter[str] = Counter()

    def deploy(self, order: WorkloadOrder, patience: Patience) -> None:
        """Hold it."""
        patience.checkpoint()
        self._holdings.take(order.footprint.stem, _workload(order.footprint))

    def health(self, footprint: Footprint, patience: Patience) -> Health:
        """Come one look nearer to being ready."""
        patience.checkpoint()
        if not self.present(footprint):
            return Health(ready=False, percent=0, summary="The workload is not registered.")
        self._looks[footprint.workload] += 1
        looks = self._looks[footprint.workload]
        if looks < self._looks_until_ready:
            return Health(ready=False, percent=100 * looks // self._looks_until_ready, summary="It is starting.")
        return Health(ready=True, percent=100, summary="It is ready.")

    def tear_down(self, footprint: Footprint, patience: Patience) -> bool:
        """Drop it."""
        patience.checkpoint()
        self._holdings.drop(footprint.stem, _workload(footprint))
        return not self.present(footprint)

    def present(self, footprint: Footprint) -> list[str]:
        """Give it, if it is held."""
        return self._holdings.names(footprint.stem, _workload(footprint))


class Outbox:
    """Keeps every mail, in the order in which they were sent."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    def send(self, mail: Mail) -> None:
        """Keep it."""
        self.mails.append(mail)


def _storage(footprint: Footprint) -> tuple[Resource, Resource]:
    return ("postgres_role", footprint.role), ("postgres_schema", footprint.schema)


def _identity(footprint: Footprint) -> tuple[Resource, Resource]:
    return ("signing_key", footprint.signing_key), ("admin_account", footprint.account)


def _workload(footprint: Footprint) -> Resource:
    return ("workload", footprint.workload)
