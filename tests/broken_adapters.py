"""Adapters that are each broken in one way, with resources in memory. The kit must detect every one of them."""

import threading
from typing import Any

from adapters.kit.subject import Factory, Subject
from adapters.simulated import Holdings, Resource, SimulatedDeployer, SimulatedStorage, SimulatedTraffic
from provisioning.ports import Health, Mail, Refused, StopToken, WorkloadOrder
from provisioning.resource_names import ResourceNames

DELAY = 0.05
"""Seconds between two operations that should be atomic."""


class Storage(SimulatedStorage):
    """A correct adapter, from which the broken ones derive."""

    def __init__(self, resources: Holdings) -> None:
        super().__init__(resources)
        self.resources = resources


MEMORY: set[tuple[object, object]] = set()
"""State of the broken adapters that is not in the infrastructure."""


def role(names: ResourceNames) -> Resource:
    return ("postgres_role", names.role)


def schema(names: ResourceNames) -> Resource:
    return ("postgres_schema", names.schema)


class Crashing(Storage):
    """Correct, but crashes between creating the role and the schema."""

    def create(self, names: ResourceNames) -> None:
        self.resources.take(names.stem, role(names))
        raise Crashed


class Crashed(Exception):
    pass


class ConnectionLost(ConnectionError):
    pass


class ReportsNonexistentResources(Storage):
    def present(self, names: ResourceNames) -> list[str]:
        return super().present(names) or [names.schema]


class OmitsTheRole(Storage):
    def present(self, names: ResourceNames) -> list[str]:
        return super().present(names)[:1]


class CreatesOnlyOnce(Storage):
    def create(self, names: ResourceNames) -> None:
        if self.present(names):
            raise FileExistsError(names.schema)
        super().create(names)


class FailsWhenConcurrent(Storage):
    """Succeeds when called again, and fails during a concurrent creation."""

    busy = threading.Lock()

    def create(self, names: ResourceNames) -> None:
        if not self.busy.acquire(blocking=False):
            raise RuntimeError("a concurrent creation is running")
        try:
            threading.Event().wait(DELAY)
            super().create(names)
        finally:
            self.busy.release()


class RemembersInsteadOfProbing(Storage):
    def __init__(self, resources: Holdings) -> None:
        super().__init__(resources)
        self.mine: set[str] = set()

    def create(self, names: ResourceNames) -> None:
        super().create(names)
        self.mine.add(names.stem)

    def present(self, names: ResourceNames) -> list[str]:
        return super().present(names) if names.stem in self.mine else []


class TakesHalfForComplete(Storage):
    def create(self, names: ResourceNames) -> None:
        if not self.present(names):
            super().create(names)
        elif self.resources.was_destroyed(names.stem, role(names)):
            raise Refused("It was destroyed.")


class DestroysOnlyWhatExists(Storage):
    def destroy(self, names: ResourceNames) -> None:
        if not self.present(names):
            raise LookupError(names.schema)
        super().destroy(names)


class ForgetsTombstones(Storage):
    def destroy(self, names: ResourceNames) -> None:
        super().destroy(names)
        self.resources.forget_destruction()


class KeepsTombstonesOfExistingOnly(Storage):
    def destroy(self, names: ResourceNames) -> None:
        if self.present(names):
            super().destroy(names)


class KeepsTombstonesInMemory(Storage):
    def __init__(self, resources: Holdings) -> None:
        super().__init__(resources)
        self.destroyed: set[str] = set()

    def create(self, names: ResourceNames) -> None:
        if names.stem in self.destroyed:
            raise Refused("It was destroyed.")
        super().create(names)

    def migrate(self, names: ResourceNames) -> None:
        if names.stem in self.destroyed:
            raise Refused("It was destroyed.")

    def destroy(self, names: ResourceNames) -> None:
        super().destroy(names)
        self.destroyed.add(names.stem)
        self.resources.forget_destruction()


class ChecksBeforeItCreates(Storage):
    """Checks for a tombstone, and creates a moment later."""

    def create(self, names: ResourceNames) -> None:
        if self.resources.was_destroyed(names.stem, role(names)):
            raise Refused("It was destroyed.")
        threading.Event().wait(DELAY)
        self.resources.forget_destruction()
        super().create(names)


class LeavesTheSchema(Storage):
    def destroy(self, names: ResourceNames) -> None:
        kept = schema(names)[1] in self.present(names)
        super().destroy(names)
        if kept:
            self.resources.forget_destruction()
            self.resources.take(names.stem, schema(names))


class FailsOnHalf(Storage):
    def destroy(self, names: ResourceNames) -> None:
        if len(self.present(names)) == 1:
            raise LookupError(names.schema)
        super().destroy(names)


class DestroysTheNextRun(Storage):
    """Undoing a run also destroys the next run."""

    def destroy(self, names: ResourceNames) -> None:
        following = ResourceNames(names.tenant_id, names.address, names.run_number + 1)
        super().destroy(names)
        if self.present(following):
            super().destroy(following)


class KeepsTombstonesByTenant(Storage):
    """Its tombstones apply to all runs of the tenant."""

    def create(self, names: ResourceNames) -> None:
        if (names.tenant_id, "gone") in MEMORY:
            raise Refused("It was destroyed.")
        super().create(names)

    def destroy(self, names: ResourceNames) -> None:
        MEMORY.add((names.tenant_id, "gone"))
        super().destroy(names)


class KeepsTombstonesByAddress(Storage):
    """Its tombstones do not contain the tenant's tag."""

    def create(self, names: ResourceNames) -> None:
        if (names.address, names.run_number) in MEMORY:
            raise Refused("It was destroyed.")
        super().create(names)

    def destroy(self, names: ResourceNames) -> None:
        MEMORY.add((names.address, names.run_number))
        super().destroy(names)


class DestroysEverything(Storage):
    def destroy(self, names: ResourceNames) -> None:
        super().destroy(names)
        self.resources._held.clear()


class MigratesOnlyOnce(Storage):
    def migrate(self, names: ResourceNames) -> None:
        super().migrate(names)
        if (names.stem, "migrated") in MEMORY:
            raise FileExistsError("users")
        MEMORY.add((names.stem, "migrated"))


class MigratesOutsideTheSchema(Storage):
    """Its tables remain when the schema is destroyed."""

    def migrate(self, names: ResourceNames) -> None:
        super().migrate(names)
        MEMORY.add((names.stem, "tables"))

    def present(self, names: ResourceNames) -> list[str]:
        found = super().present(names)
        return found or ["users"] * ((names.stem, "tables") in MEMORY)


class MigratesTheDestroyed(Storage):
    def migrate(self, names: ResourceNames) -> None:
        pass


class DestroysNothing(Storage):
    def destroy(self, names: ResourceNames) -> None:
        pass


class ReportsAbsence(Storage):
    def present(self, names: ResourceNames) -> list[str]:
        return []


class RefusesPermanently(Storage):
    def create(self, names: ResourceNames) -> None:
        raise Refused("The infrastructure is unreachable.")


class Unreachable(Storage):
    """Correct: every call raises."""

    def create(self, names: ResourceNames) -> None:
        raise ConnectionLost

    def destroy(self, names: ResourceNames) -> None:
        raise ConnectionLost

    def present(self, names: ResourceNames) -> list[str]:
        raise ConnectionLost


class UnreachableAndDestroysNothing(Unreachable):
    destroy = DestroysNothing.destroy


class UnreachableAndReportsAbsence(Unreachable):
    present = ReportsAbsence.present


class UnreachableAndRefuses(Unreachable):
    create = RefusesPermanently.create


class Traffic(SimulatedTraffic):
    def __init__(self, resources: Holdings) -> None:
        super().__init__(resources, "localhost")
        self.resources = resources


class ReservesForEveryTenant(Traffic):
    """Keeps the same name for several runs."""

    def _name(self, names: ResourceNames) -> Resource:
        return (names.stem, f"{names.address}.localhost")


class ReleasesAnyHolder(Traffic):
    def release(self, names: ResourceNames) -> None:
        self.resources._held.pop(self._name(names), None)
        super().release(names)


class ChecksBeforeItReserves(Traffic):
    def reserve(self, names: ResourceNames) -> None:
        free = self._name(names) not in self.resources._held
        threading.Event().wait(DELAY)
        if free and not self.resources.was_destroyed(names.stem, self._name(names)):
            self.resources._held.pop(self._name(names), None)
        super().reserve(names)


class IgnoredStopToken:
    """A stop token that is never set."""

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def checkpoint(self) -> None:
        pass


IGNORED_STOP_TOKEN = IgnoredStopToken()


class Deployer(SimulatedDeployer):
    def __init__(self, resources: Holdings) -> None:
        super().__init__(resources, probes_until_ready=1)


class ReportsTooMuch(Deployer):
    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        health = super().health(names, stop_token)
        return Health(health.ready, 2 * health.percent, health.summary)


class AlwaysReady(Deployer):
    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        stop_token.checkpoint()
        return Health(ready=True, percent=100, summary="It is ready.")


class NeverGone(Deployer):
    """Tears down the workload, but never confirms it."""

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        super().tear_down(names, stop_token)
        return False


class IgnoresItsStopToken(Deployer):
    """Does not pass its stop token on."""

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        super().deploy(order, IGNORED_STOP_TOKEN)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        return super().health(names, IGNORED_STOP_TOKEN)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        return bool(super().tear_down(names, IGNORED_STOP_TOKEN))


class Hanging(Deployer):
    """Correct: waits for a response that never arrives, with its stop token."""

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        stop_token.sleep(20)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        stop_token.sleep(20)
        return super().health(names, stop_token)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        stop_token.sleep(20)
        return False


class HangsAndIgnoresItsStopToken(Hanging):
    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        IGNORED_STOP_TOKEN.sleep(1)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        IGNORED_STOP_TOKEN.sleep(1)
        return super().health(names, IGNORED_STOP_TOKEN)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        IGNORED_STOP_TOKEN.sleep(1)
        return False


class SendsNothing:
    """A mailer that accepts every mail and sends none."""

    def send(self, mail: Mail) -> None:
        pass


class RefusesEverything:
    """A mailer that refuses every mail."""

    def send(self, mail: Mail) -> None:
        raise Refused("No.")


class OneAddress:
    """A mailer that passes all checks of the kit."""

    def send(self, mail: Mail) -> None:
        if mail.to != "ada@example.com":
            raise Refused("The address is not valid.")


class UnreachableRelay:
    """Correct."""

    def send(self, mail: Mail) -> None:
        raise ConnectionLost


def subject(
    kind: type[Any], *, unreachable: type[Any] | None = None, crashing: type[Any] | None = None, rounds: int = 0
) -> Subject:
    """All adapters of the subject use the same resources. ``rounds`` is 0 unless the check needs races."""
    resources = Holdings()

    def of(chosen: type[Any] | None) -> Factory | None:
        return (lambda: chosen(resources)) if chosen else None

    return Subject(lambda: kind(resources), of(unreachable), of(crashing), within=0.5, rounds=rounds)


def deployer(kind: type[Any], hanging: type[Any] = Hanging) -> Subject:
    resources = Holdings()
    return Subject(lambda: kind(resources), hanging=lambda: hanging(resources), within=0.5, rounds=0)


def mailer(kind: type[Any], away: type[Any] = UnreachableRelay) -> Subject:
    return Subject(kind, away, mail_to="ada@example.com")
