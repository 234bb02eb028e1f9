"""Adapters that are each broken in one way, on an outside in memory. The kit has to notice every one of them."""

import threading
from typing import Any

from adapters.kit.subject import Factory, Subject
from adapters.simulated import Holdings, Resource, SimulatedDeployer, SimulatedStorage, SimulatedTraffic
from provisioning.footprint import Footprint
from provisioning.ports import Health, Mail, Patience, Refused, WorkloadOrder

DAWDLE = 0.05
"""Seconds for which somebody waits in the middle of what should be one stroke."""


class Storage(SimulatedStorage):
    """Sound, and open to those who break it."""

    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside)
        self.outside = outside


MEMORY: set[tuple[object, object]] = set()
"""What they remember outside of the outside."""


def role(footprint: Footprint) -> Resource:
    return ("postgres_role", footprint.role)


def schema(footprint: Footprint) -> Resource:
    return ("postgres_schema", footprint.schema)


class Crashing(Storage):
    """Sound, but it dies when the role is there and the schema is not."""

    def create(self, footprint: Footprint) -> None:
        self.outside.take(footprint.stem, role(footprint))
        raise Died


class Died(Exception):
    pass


class Away(ConnectionError):
    pass


class InventsThings(Storage):
    def present(self, footprint: Footprint) -> list[str]:
        return super().present(footprint) or [footprint.schema]


class ForgetsTheRole(Storage):
    def present(self, footprint: Footprint) -> list[str]:
        return super().present(footprint)[:1]


class CreatesOnlyOnce(Storage):
    def create(self, footprint: Footprint) -> None:
        if self.present(footprint):
            raise FileExistsError(footprint.schema)
        super().create(footprint)


class TripsOverCompany(Storage):
    """Succeeds when called again, and fails when somebody else is creating at the same moment."""

    busy = threading.Lock()

    def create(self, footprint: Footprint) -> None:
        if not self.busy.acquire(blocking=False):
            raise RuntimeError("somebody is at it")
        try:
            threading.Event().wait(DAWDLE)
            super().create(footprint)
        finally:
            self.busy.release()


class RemembersInsteadOfAsking(Storage):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside)
        self.mine: set[str] = set()

    def create(self, footprint: Footprint) -> None:
        super().create(footprint)
        self.mine.add(footprint.stem)

    def present(self, footprint: Footprint) -> list[str]:
        return super().present(footprint) if footprint.stem in self.mine else []


class TakesHalfForAll(Storage):
    def create(self, footprint: Footprint) -> None:
        if not self.present(footprint):
            super().create(footprint)
        elif self.outside.was_destroyed(footprint.stem, role(footprint)):
            raise Refused("It was destroyed.")


class DestroysOnlyWhatIsThere(Storage):
    def destroy(self, footprint: Footprint) -> None:
        if not self.present(footprint):
            raise LookupError(footprint.schema)
        super().destroy(footprint)


class ForgetsTombstones(Storage):
    def destroy(self, footprint: Footprint) -> None:
        super().destroy(footprint)
        self.outside.forget_destruction()


class BuriesOnlyWhatItMet(Storage):
    def destroy(self, footprint: Footprint) -> None:
        if self.present(footprint):
            super().destroy(footprint)


class KeepsTombstonesToItself(Storage):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside)
        self.destroyed: set[str] = set()

    def create(self, footprint: Footprint) -> None:
        if footprint.stem in self.destroyed:
            raise Refused("It was destroyed.")
        super().create(footprint)

    def migrate(self, footprint: Footprint) -> None:
        if footprint.stem in self.destroyed:
            raise Refused("It was destroyed.")

    def destroy(self, footprint: Footprint) -> None:
        super().destroy(footprint)
        self.destroyed.add(footprint.stem)
        self.outside.forget_destruction()


class LooksBeforeItCreates(Storage):
    """Refuses what is destroyed when it looks, and creates a moment later."""

    def create(self, footprint: Footprint) -> None:
        if self.outside.was_destroyed(footprint.stem, role(footprint)):
            raise Refused("It was destroyed.")
        threading.Event().wait(DAWDLE)
        self.outside.forget_destruction()
        super().create(footprint)


class LeavesTheSchema(Storage):
    def destroy(self, footprint: Footprint) -> None:
        kept = schema(footprint)[1] in self.present(footprint)
        super().destroy(footprint)
        if kept:
            self.outside.forget_destruction()
            self.outside.take(footprint.stem, schema(footprint))


class TripsOverHalf(Storage):
    def destroy(self, footprint: Footprint) -> None:
        if len(self.present(footprint)) == 1:
            raise LookupError(footprint.schema)
        super().destroy(footprint)


class WipesTheTenant(Storage):
    """Undoing one run takes the next one along."""

    def destroy(self, footprint: Footprint) -> None:
        following = Footprint(footprint.tenant_id, footprint.address, footprint.run_number + 1)
        super().destroy(footprint)
        if self.present(following):
            super().destroy(following)


class BuriesTheTenant(Storage):
    """A tombstone for every attempt there will ever be."""

    def create(self, footprint: Footprint) -> None:
        if (footprint.tenant_id, "gone") in MEMORY:
            raise Refused("It was destroyed.")
        super().create(footprint)

    def destroy(self, footprint: Footprint) -> None:
        MEMORY.add((footprint.tenant_id, "gone"))
        super().destroy(footprint)


class BuriesTheAddress(Storage):
    """A tombstone without the tenant's tag."""

    def create(self, footprint: Footprint) -> None:
        if (footprint.address, footprint.run_number) in MEMORY:
            raise Refused("It was destroyed.")
        super().create(footprint)

    def destroy(self, footprint: Footprint) -> None:
        MEMORY.add((footprint.address, footprint.run_number))
        super().destroy(footprint)


class WipesEverything(Storage):
    def destroy(self, footprint: Footprint) -> None:
        super().destroy(footprint)
        self.outside._held.clear()


class MigratesOnlyOnce(Storage):
    def migrate(self, footprint: Footprint) -> None:
        super().migrate(footprint)
        if (footprint.stem, "migrated") in MEMORY:
            raise FileExistsError("users")
        MEMORY.add((footprint.stem, "migrated"))


class MigratesOutsideTheSchema(Storage):
    """Its tables stay when the schema goes."""

    def migrate(self, footprint: Footprint) -> None:
        super().migrate(footprint)
        MEMORY.add((footprint.stem, "tables"))

    def present(self, footprint: Footprint) -> list[str]:
        there = super().present(footprint)
        return there or ["users"] * ((footprint.stem, "tables") in MEMORY)


class MigratesTheDestroyed(Storage):
    def migrate(self, footprint: Footprint) -> None:
        pass


class ThinksItGone(Storage):
    def destroy(self, footprint: Footprint) -> None:
        pass


class SaysItIsAbsent(Storage):
    def present(self, footprint: Footprint) -> list[str]:
        return []


class RefusesForGood(Storage):
    def create(self, footprint: Footprint) -> None:
        raise Refused("I cannot reach anything.")


class CutOff(Storage):
    """Sound: raises whatever it is asked."""

    def create(self, footprint: Footprint) -> None:
        raise Away

    def destroy(self, footprint: Footprint) -> None:
        raise Away

    def present(self, footprint: Footprint) -> list[str]:
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

    def _name(self, footprint: Footprint) -> Resource:
        return (footprint.stem, f"{footprint.address}.localhost")


class TakesItFromItsHolder(Traffic):
    def release(self, footprint: Footprint) -> None:
        self.outside._held.pop(self._name(footprint), None)
        super().release(footprint)


class LooksBeforeItReserves(Traffic):
    def reserve(self, footprint: Footprint) -> None:
        free = self._name(footprint) not in self.outside._held
        threading.Event().wait(DAWDLE)
        if free and not self.outside.was_destroyed(footprint.stem, self._name(footprint)):
            self.outside._held.pop(self._name(footprint), None)
        super().reserve(footprint)


class Deaf:
    """The patience of somebody whom nobody can stop."""

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def checkpoint(self) -> None:
        pass


DEAF = Deaf()


class Deployer(SimulatedDeployer):
    def __init__(self, outside: Holdings) -> None:
        super().__init__(outside, looks_until_ready=1)


class Exaggerates(Deployer):
    def health(self, footprint: Footprint, patience: Patience) -> Health:
        health = super().health(footprint, patience)
        return Health(health.ready, 2 * health.percent, health.summary)


class AlwaysReady(Deployer):
    def health(self, footprint: Footprint, patience: Patience) -> Health:
        patience.checkpoint()
        return Health(ready=True, percent=100, summary="It is ready.")


class NeverGone(Deployer):
    """Takes it down and never says so."""

    def tear_down(self, footprint: Footprint, patience: Patience) -> bool:
        super().tear_down(footprint, patience)
        return False


class NeverAsks(Deployer):
    """Lets nobody stop it."""

    def deploy(self, order: WorkloadOrder, patience: Patience) -> None:
        super().deploy(order, DEAF)

    def health(self, footprint: Footprint, patience: Patience) -> Health:
        return super().health(footprint, DEAF)

    def tear_down(self, footprint: Footprint, patience: Patience) -> bool:
        return super().tear_down(footprint, DEAF)


class Hanging(Deployer):
    """Sound: waits for an answer that does not come, and asks whether it is to go on."""

    def deploy(self, order: WorkloadOrder, patience: Patience) -> None:
        patience.sleep(20)

    def health(self, footprint: Footprint, patience: Patience) -> Health:
        patience.sleep(20)
        return super().health(footprint, patience)

    def tear_down(self, footprint: Footprint, patience: Patience) -> bool:
        patience.sleep(20)
        return False


class HangsAndNeverAsks(Hanging):
    def deploy(self, order: WorkloadOrder, patience: Patience) -> None:
        DEAF.sleep(1)

    def health(self, footprint: Footprint, patience: Patience) -> Health:
        DEAF.sleep(1)
        return super().health(footprint, DEAF)

    def tear_down(self, footprint: Footprint, patience: Patience) -> bool:
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
