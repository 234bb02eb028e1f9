"""Adapters that are each broken in one way, on an outside in memory. The kit has to notice every one of them."""

import threading
from typing import Any

from adapters.kit.subject import Factory, Subject
from adapters.simulated import Holdings, Resource, SimulatedDeployer, SimulatedStorage, SimulatedTraffic
from provisioning.ports import Health, Mail, Refused, StopToken, WorkloadOrder
from provisioning.resource_names import ResourceNames

DAWDLE = 0.05
"""Seconds for which somebody waits in the middle of what should be one stroke."""


class Storage(SimulatedStorage):
    """Sound, and open to those who break it."""

    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside)
        self.outside = outside


MEMORY: set[tuple[object, object]] = set()
"""What they remember outside of the outside."""


def role(names: ResourceNames) -> Resource:
    return ("postgres_role", names.role)


def schema(names: ResourceNames) -> Resource:
    return ("postgres_schema", names.schema)


class Crashing(Storage):
    """Sound, but it dies when the role is there and the schema is not."""

    def create(self, names: ResourceNames) -> None:
        self.outside.take(names.stem, role(names))
        raise Died


class Died(Exception):
    pass


class Away(ConnectionError):
    pass


class InventsThings(Storage):
    def present(self, names: ResourceNames) -> list[str]:
        return super().present(names) or [names.schema]


class ForgetsTheRole(Storage):
    def present(self, names: ResourceNames) -> list[str]:
        return super().present(names)[:1]


class CreatesOnlyOnce(Storage):
    def create(self, names: ResourceNames) -> None:
        if self.present(names):
            raise FileExistsError(names.schema)
        super().create(names)


class TripsOverCompany(Storage):
    """Succeeds when called again, and fails when somebody else is creating at the same moment."""

    busy = threading.Lock()

    def create(self, names: ResourceNames) -> None:
        if not self.busy.acquire(blocking=False):
            raise RuntimeError("somebody is at it")
        try:
            threading.Event().wait(DAWDLE)
            super().create(names)
        finally:
            self.busy.release()


class RemembersInsteadOfAsking(Storage):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside)
        self.mine: set[str] = set()

    def create(self, names: ResourceNames) -> None:
        super().create(names)
        self.mine.add(names.stem)

    def present(self, names: ResourceNames) -> list[str]:
        return super().present(names) if names.stem in self.mine else []


class TakesHalfForAll(Storage):
    def create(self, names: ResourceNames) -> None:
        if not self.present(names):
            super().create(names)
        elif self.outside.was_destroyed(names.stem, role(names)):
            raise Refused("It was destroyed.")


class DestroysOnlyWhatIsThere(Storage):
    def destroy(self, names: ResourceNames) -> None:
        if not self.present(names):
            raise LookupError(names.schema)
        super().destroy(names)


class ForgetsTombstones(Storage):
    def destroy(self, names: ResourceNames) -> None:
        super().destroy(names)
        self.outside.forget_destruction()


class BuriesOnlyWhatItMet(Storage):
    def destroy(self, names: ResourceNames) -> None:
        if self.present(names):
            super().destroy(names)


class KeepsTombstonesToItself(Storage):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside)
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
        self.outside.forget_destruction()


class LooksBeforeItCreates(Storage):
    """Refuses what is destroyed when it looks, and creates a moment later."""

    def create(self, names: ResourceNames) -> None:
        if self.outside.was_destroyed(names.stem, role(names)):
            raise Refused("It was destroyed.")
        threading.Event().wait(DAWDLE)
        self.outside.forget_destruction()
        super().create(names)


class LeavesTheSchema(Storage):
    def destroy(self, names: ResourceNames) -> None:
        kept = schema(names)[1] in self.present(names)
        super().destroy(names)
        if kept:
            self.outside.forget_destruction()
            self.outside.take(names.stem, schema(names))


class TripsOverHalf(Storage):
    def destroy(self, names: ResourceNames) -> None:
        if len(self.present(names)) == 1:
            raise LookupError(names.schema)
        super().destroy(names)


class WipesTheTenant(Storage):
    """Undoing one run takes the next one along."""

    def destroy(self, names: ResourceNames) -> None:
        following = ResourceNames(names.tenant_id, names.address, names.run_number + 1)
        super().destroy(names)
        if self.present(following):
            super().destroy(following)


class BuriesTheTenant(Storage):
    """A tombstone for every attempt there will ever be."""

    def create(self, names: ResourceNames) -> None:
        if (names.tenant_id, "gone") in MEMORY:
            raise Refused("It was destroyed.")
        super().create(names)

    def destroy(self, names: ResourceNames) -> None:
        MEMORY.add((names.tenant_id, "gone"))
        super().destroy(names)


class BuriesTheAddress(Storage):
    """A tombstone without the tenant's tag."""

    def create(self, names: ResourceNames) -> None:
        if (names.address, names.run_number) in MEMORY:
            raise Refused("It was destroyed.")
        super().create(names)

    def destroy(self, names: ResourceNames) -> None:
        MEMORY.add((names.address, names.run_number))
        super().destroy(names)


class WipesEverything(Storage):
    def destroy(self, names: ResourceNames) -> None:
        super().destroy(names)
        self.outside._held.clear()


class MigratesOnlyOnce(Storage):
    def migrate(self, names: ResourceNames) -> None:
        super().migrate(names)
        if (names.stem, "migrated") in MEMORY:
            raise FileExistsError("users")
        MEMORY.add((names.stem, "migrated"))


class MigratesOutsideTheSchema(Storage):
    """Its tables stay when the schema goes."""

    def migrate(self, names: ResourceNames) -> None:
        super().migrate(names)
        MEMORY.add((names.stem, "tables"))

    def present(self, names: ResourceNames) -> list[str]:
        there = super().present(names)
        return there or ["users"] * ((names.stem, "tables") in MEMORY)


class MigratesTheDestroyed(Storage):
    def migrate(self, names: ResourceNames) -> None:
        pass


class ThinksItGone(Storage):
    def destroy(self, names: ResourceNames) -> None:
        pass


class SaysItIsAbsent(Storage):
    def present(self, names: ResourceNames) -> list[str]:
        return []


class RefusesForGood(Storage):
    def create(self, names: ResourceNames) -> None:
        raise Refused("I cannot reach anything.")


class CutOff(Storage):
    """Sound: raises whatever it is asked."""

    def create(self, names: ResourceNames) -> None:
        raise Away

    def destroy(self, names: ResourceNames) -> None:
        raise Away

    def present(self, names: ResourceNames) -> list[str]:
        raise Away


class CutOffAndThinksItGone(CutOff):
    destroy = ThinksItGone.destroy


class CutOffAndSaysItIsAbsent(CutOff):
    present = SaysItIsAbsent.present


class CutOffAndRefusesForGood(CutOff):
    create = RefusesForGood.create


class Traffic(SimulatedTraffic):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside, "localhost")
        self.outside = outside


class LetsEverybodyHaveIt(Traffic):
    """Keeps a name for each run, as if they were different names."""

    def _name(self, names: ResourceNames) -> Resource:
        return (names.stem, f"{names.address}.localhost")


class TakesItFromItsHolder(Traffic):
    def release(self, names: ResourceNames) -> None:
        self.outside._held.pop(self._name(names), None)
        super().release(names)


class LooksBeforeItReserves(Traffic):
    def reserve(self, names: ResourceNames) -> None:
        free = self._name(names) not in self.outside._held
        threading.Event().wait(DAWDLE)
        if free and not self.outside.was_destroyed(names.stem, self._name(names)):
            self.outside._held.pop(self._name(names), None)
        super().reserve(names)


class Deaf:
    """The patience of somebody whom nobody can stop."""

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def checkpoint(self) -> None:
        pass


DEAF = Deaf()


class Deployer(SimulatedDeployer):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside, probes_until_ready=1)


class Exaggerates(Deployer):
    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        health = super().health(names, stop_token)
        return Health(health.ready, 2 * health.percent, health.summary)


class AlwaysReady(Deployer):
    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        stop_token.checkpoint()
        return Health(ready=True, percent=100, summary="It is ready.")


class NeverGone(Deployer):
    """Takes it down and never says so."""

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        super().tear_down(names, stop_token)
        return False


class NeverAsks(Deployer):
    """Lets nobody stop it."""

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        super().deploy(order, DEAF)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        return super().health(names, DEAF)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        return super().tear_down(names, DEAF)


class Hanging(Deployer):
    """Sound: waits for an answer that does not come, and asks whether it is to go on."""

    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        stop_token.sleep(20)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        stop_token.sleep(20)
        return super().health(names, stop_token)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        stop_token.sleep(20)
        return False


class HangsAndNeverAsks(Hanging):
    def deploy(self, order: WorkloadOrder, stop_token: StopToken) -> None:
        DEAF.sleep(1)

    def health(self, names: ResourceNames, stop_token: StopToken) -> Health:
        DEAF.sleep(1)
        return super().health(names, DEAF)

    def tear_down(self, names: ResourceNames, stop_token: StopToken) -> bool:
        DEAF.sleep(1)
        return False


class Sink:
    """A mailer that takes everything and sends nothing."""

    def send(self, mail: Mail) -> None:
        pass


class Sulking:
    """A mailer that refuses everything."""

    def send(self, mail: Mail) -> None:
        raise Refused("No.")


class Picky:
    """A sound mailer, as far as the kit can see."""

    def send(self, mail: Mail) -> None:
        if mail.to != "ada@example.com":
            raise Refused("That is no address.")


class RelayAway:
    """Sound."""

    def send(self, mail: Mail) -> None:
        raise Away


def subject(
    kind: type[Any], *, cut_off: type[Any] | None = None, crashing: type[Any] | None = None, rounds: int = 0
) -> Subject:
    """Every adapter that it makes acts on one outside. Unless told otherwise only the races that matter are run."""
    outside = Holdings()

    def of(chosen: type[Any] | None) -> Factory | None:
        return (lambda: chosen(outside)) if chosen else None

    return Subject(lambda: kind(outside), of(cut_off), of(crashing), within=0.5, rounds=rounds)


def deployer(kind: type[Any], hanging: type[Any] = Hanging) -> Subject:
    outside = Holdings()
    return Subject(lambda: kind(outside), hanging=lambda: hanging(outside), within=0.5, rounds=0)


def mailer(kind: type[Any], away: type[Any] = RelayAway) -> Subject:
    return Subject(kind, away, mail_to="ada@example.com")
