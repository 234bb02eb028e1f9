"""Plays runs by hand: the real engine and Postgres, an outside in memory, and a broker that is a list."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Engine, update
from sqlmodel import Session, col, select

from adapters.fault_injection import Faults
from adapters.simulated import SimulatedInfrastructure
from models import ActorKind, Event, Organisation, Resource, ResourceStatus, Run, RunStep, Tenant
from models.columns import new_id
from provisioning import cancellation, commands, due_runs, engine
from provisioning.actors import Actor
from provisioning.claims import Claim
from provisioning.decisions import next_move
from provisioning.locking import Change
from provisioning.moves import Backward, Forward, Move
from provisioning.resource_names import ResourceNames
from provisioning.saga import Outcome
from provisioning.step_context import StopSignal
from provisioning.step_journal import DatabaseJournal
from provisioning.steps import saga
from provisioning.wakeups import WakeUp
from runtime.database import Database, clock, engine_for
from runtime.settings import Settings
from workers.actors import StepRunner
from workers.running_steps import RunningSteps

T = TypeVar("T")


@dataclass
class RunHarness:
    """One fresh organisation, one tenant in it, and everything needed to move its runs."""

    settings: Settings
    organisation: Organisation
    operator: Actor
    wake_ups: list[WakeUp] = field(default_factory=list)
    genuine: SimulatedInfrastructure = field(default_factory=SimulatedInfrastructure)
    faults: Faults = field(default_factory=Faults)
    live: RunningSteps = field(default_factory=RunningSteps)
    tenant_id: UUID = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.database = Database(self.settings, self._deliver, engine=engine_of(self.settings))
        self.infrastructure = self.faults.wrap(self.genuine)
        self.step_runner = StepRunner(self.database, self.settings, self.infrastructure, self.live, owner="harness")

    def create(self, slug: str = "shop", **wanted: Any) -> Change:
        """A tenant, and unless told otherwise its first run."""
        order = commands.NewTenant(
            slug=slug, **({"plan": "starter", "first_admin_email": "first@shop.example"} | wanted)
        )
        change = self.do(
            commands.create_tenant,
            order,
            organisation_id=self.organisation.id,
            by=self.operator,
            regions=self.settings.regions,
        )
        self.tenant_id = change.tenant.id
        return change

    def cancel(self, **wanted: Any) -> Change:
        return self.do(cancellation.cancel_provisioning, self.tenant_id, **({"by": self.operator} | wanted))

    def retry(self) -> Change:
        return self.do(commands.retry_provisioning, self.tenant_id, by=self.operator)

    def do(self, command: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self.database.transact(command, *args, **kwargs)

    def play(self, *, until: str | None = "confirm_absence") -> None:
        """Make every move that is ready; waits and back-offs are over at once. Stops before step ``until``.

        Unless told otherwise, it leaves the looks outside that follow an undo to the test.
        """
        for _ in range(200):
            move = self.next_move()
            if not isinstance(move, Forward | Backward) or move.step == until:
                return
            if self.run().due_at is None:
                return
            self.pass_time()
            self.step_runner.make_move(self.run().id, move)
        raise AssertionError(f"the run does not end: {self.story()[-20:]}")

    def claim(self, move: Forward | Backward | None = None) -> Claim:
        """Claim the next move and leave it there, as a worker does that dies or takes its time."""
        self.pass_time()
        claim = self.try_claim(move)
        assert claim is not None, f"nothing to claim: {self.story()[-5:]}"
        return claim

    def try_claim(self, move: Forward | Backward | None = None) -> Claim | None:
        wanted = move or self.next_move()
        assert isinstance(wanted, Forward | Backward), wanted
        return self.do(engine.claim, self.run().id, wanted, settings=self.settings, owner="harness")

    def perform(self, claim: Claim, stop_signal: StopSignal | None = None) -> Outcome:
        return claim.perform(
            saga, self.infrastructure, DatabaseJournal(self.database, self.settings, claim), stop_signal or StopSignal()
        )

    def record(self, claim: Claim, outcome: Outcome) -> None:
        self.do(engine.record, claim, outcome)

    def fail(self, claim: Claim, error: BaseException) -> None:
        self.do(engine.record_failure, claim, error)

    def lapse(self) -> None:
        """Let the lease of whoever is at work end now."""
        with self.database.transaction() as session:
            past = clock(session)
            session.execute(
                update(Run)
                .where(col(Run.tenant_id) == self.tenant_id, col(Run.lease_until).is_not(None))
                .values(lease_until=past, due_at=past)
            )

    def pass_time(self) -> None:
        """End back-offs and waits of this tenant; leases stay."""
        with self.database.transaction() as session:
            session.execute(
                update(Run)
                .where(
                    col(Run.tenant_id) == self.tenant_id,
                    col(Run.lease_until).is_(None),
                    col(Run.due_at).is_not(None),
                )
                .values(due_at=clock(session))
            )

    def sweep(self) -> None:
        self.do(due_runs.end_due_runs)
        self.do(due_runs.redispatch_due_runs)

    def next_move(self) -> Move:
        return next_move(self.run(), self.steps())

    def run(self, number: int | None = None) -> Run:
        """A run by number, or the newest."""
        chosen = select(Run).where(Run.tenant_id == self.tenant_id).order_by(col(Run.number).desc())
        if number is not None:
            chosen = chosen.where(Run.number == number)
        return self.read(lambda session: session.exec(chosen.limit(1)).one())

    def steps(self, number: int | None = None) -> list[RunStep]:
        run_id = self.run(number).id
        chosen = select(RunStep).where(RunStep.run_id == run_id).order_by(col(RunStep.position))
        return self.read(lambda session: list(session.exec(chosen)))

    def step(self, name: str) -> RunStep:
        return next(step for step in self.steps() if step.name == name)

    def tenant(self) -> Tenant:
        return self.read(lambda session: session.get_one(Tenant, self.tenant_id))

    def ledger(self, *statuses: ResourceStatus) -> list[str]:
        """Names of the tenant's ledger rows in these statuses, in the order in which they were intended."""
        chosen = select(Resource.name).where(
            Resource.tenant_id == self.tenant_id, col(Resource.status).in_(statuses or ResourceStatus)
        )
        return self.read(lambda session: list(session.exec(chosen.order_by(col(Resource.id)))))

    def held(self) -> list[str]:
        return self.ledger(ResourceStatus.INTENDED, ResourceStatus.HELD)

    def outside(self) -> list[str]:
        """What the adapters themselves still find, of any run of this tenant."""
        tenant = self.tenant()
        numbers = range(1, self.run().number + 1)
        return [
            name
            for number in numbers
            for name in self.genuine.present(ResourceNames(tenant.id, tenant.address, number))
        ]

    def events(self) -> list[Event]:
        chosen = select(Event).where(Event.tenant_id == self.tenant_id).order_by(col(Event.sequence))
        return self.read(lambda session: list(session.exec(chosen)))

    def story(self) -> list[str]:
        """The tenant's history, a line each: ``provisioning.step_started allocate_storage``."""
        return [f"{event.type.removeprefix('tenant.')} {event.data.get('step', '')}".strip() for event in self.events()]

    def read(self, question: Callable[[Session], T]) -> T:
        return self.database.transact(question)

    def _deliver(self, outbox: Sequence[Any]) -> None:
        self.wake_ups.extend(outbox)


@contextmanager
def run_harness_in(settings: Settings, plan: str = "enterprise") -> Iterator[RunHarness]:
    """A stage in a fresh organisation."""
    setting = Database(settings, engine=engine_of(settings))
    with setting.transaction() as session:
        slug = f"org-{new_id().hex[-12:]}"
        organisation = Organisation(slug=slug, name=slug, plan_code=plan, created_at=clock(session))
        session.add(organisation)
    harness = RunHarness(settings, organisation, operator_of(organisation))
    try:
        yield harness
    finally:
        harness.faults.release_all()
        harness.database.close()


@lru_cache(8)
def engine_of(settings: Settings) -> Engine:
    """One for all stages: spelling the statements out again in each test takes longer than carrying them out."""
    return engine_for(settings, "tenantry-stage")


def operator_of(organisation: Organisation, name: str = "Olga Operator") -> Actor:
    """Somebody who may do everything in this organisation."""
    email = f"{name.split(maxsplit=1)[0].lower()}@{organisation.slug}.example"
    return Actor(ActorKind.USER, new_id(), name, email, organisation.id)
