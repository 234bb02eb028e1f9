"""Moves runs in a test: the real engine and Postgres, simulated infrastructure in memory, and a list as the broker."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, update
from sqlmodel import Session, col, select

from adapters.fault_injection import Faults
from adapters.simulated import SimulatedInfrastructure
from models import (
    ActorKind,
    Event,
    Organisation,
    Resource,
    ResourceStatus,
    Run,
    RunKind,
    RunStatus,
    RunStep,
    StepRole,
    StepStatus,
    Tenant,
)
from models.columns import new_id
from provisioning import cancellation, commands, due_runs, engine
from provisioning.actors import Actor
from provisioning.claims import Claim
from provisioning.decisions import next_move
from provisioning.locking import Change
from provisioning.moves import Backward, Forward, Move
from provisioning.resource_names import ResourceNames
from provisioning.run_store import DispatchedStep
from provisioning.saga import Outcome
from provisioning.step_context import StopSignal
from provisioning.step_journal import DatabaseJournal
from provisioning.steps import saga
from provisioning.transitions import Lease
from provisioning.wakeups import WakeUp
from runtime.database import Database, Statements, clock, engine_for
from runtime.settings import Settings
from runtime.settings import settings as settings_of_this_process
from workers.actors import StepRunner
from workers.running_steps import RunningSteps

P = ParamSpec("P")
T = TypeVar("T")


END_WAITS = """
UPDATE runs SET due_at = clock_timestamp()
WHERE tenant_id = %(tenant_id)s AND lease_until IS NULL AND due_at IS NOT NULL
"""
POSITION = """
SELECT id, kind, status, cancel_requested_at IS NOT NULL, due_at IS NOT NULL,
    coalesce(due_at > clock_timestamp(), false),
    (SELECT json_agg(json_build_array(name, role, status) ORDER BY position) FROM run_steps WHERE run_id = runs.id)
FROM runs WHERE tenant_id = %(tenant_id)s ORDER BY number DESC LIMIT 1
"""


@dataclass(frozen=True)
class RunPosition:
    """What decides the next move of a run, and whether the run waits for it."""

    id: UUID
    kind: RunKind
    status: RunStatus
    cancel_requested: bool
    has_due_time: bool
    waits: bool


@dataclass
class RunHarness:
    """One new organisation, one tenant in it, and what is needed to move the tenant's runs."""

    settings: Settings
    organisation: Organisation
    operator: Actor
    wake_ups: list[WakeUp] = field(default_factory=list)
    simulated: SimulatedInfrastructure = field(default_factory=SimulatedInfrastructure)
    faults: Faults = field(default_factory=Faults)
    running_steps: RunningSteps = field(default_factory=RunningSteps)
    tenant_id: UUID = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.database = Database(self.settings, self._deliver, engine=engine_of(self.settings))
        self.infrastructure = self.faults.wrap(self.simulated)
        self.step_runner = StepRunner(
            self.database, self.settings, self.infrastructure, self.running_steps, owner="harness", keep_for=0
        )

    def create(self, slug: str = "shop", **wanted: Any) -> Change:
        """Create the tenant and, unless ``start`` is False, its first run."""
        new_tenant = commands.NewTenant(
            slug=slug, **({"plan": "starter", "first_admin_email": "first@shop.example"} | wanted)
        )
        change = self.transact(
            commands.create_tenant,
            new_tenant,
            organisation_id=self.organisation.id,
            by=self.operator,
            regions=self.settings.regions,
        )
        self.tenant_id = change.tenant.id
        return change

    def cancel(self, **wanted: Any) -> Change:
        return self.transact(cancellation.cancel_provisioning, self.tenant_id, **({"by": self.operator} | wanted))

    def retry(self) -> Change:
        return self.transact(commands.retry_provisioning, self.tenant_id, by=self.operator)

    def transact(self, command: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self.database.transact(command, *args, **kwargs)

    def execute(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self.database.execute(work, *args, **kwargs)

    def make_moves(self, *, until: str | None = "confirm_absence") -> None:
        """Make moves until none is left, without waiting for polls and back-offs. Stops before the step ``until``.

        By default it stops before the absence checks that follow the compensation of a run.
        """
        for _ in range(200):
            run, move = self._position()
            if not isinstance(move, Forward | Backward) or move.step == until or not run.has_due_time:
                return
            if run.waits:
                self.end_waits()
            self.step_runner.make_move(run.id, move)
        raise AssertionError(f"the run has not ended after 200 moves: {self.event_lines()[-20:]}")

    def claim(self, move: Forward | Backward | None = None) -> Claim:
        """Claim the next move and do not perform it, like a worker that died or is slow."""
        self.end_waits()
        claim = self.try_claim(move)
        if claim is None:  # the pause after several lost workers
            self.end_waits()
            claim = self.try_claim(move)
        assert claim is not None, f"the run has no move to claim: {self.event_lines()[-5:]}"
        return claim

    def try_claim(self, move: Forward | Backward | None = None) -> Claim | None:
        run, due_move = self._position()
        wanted = move or due_move
        assert isinstance(wanted, Forward | Backward), wanted
        return self.apply(engine.claiming(run.id, wanted, self.settings, new_lease(self.settings.lease)))

    def apply(self, change: engine.Change) -> Claim | None:
        """Write what a worker wants. Returns the claim that it has then."""
        return engine.claim_of(self.execute(engine.apply, change), self.settings)

    def perform(self, claim: Claim, stop_signal: StopSignal | None = None) -> Outcome:
        return claim.perform(
            saga, self.infrastructure, DatabaseJournal(self.database, self.settings, claim), stop_signal or StopSignal()
        )

    def record(self, claim: Claim, outcome: Outcome) -> None:
        self.apply(engine.recording(claim, outcome))

    def record_failure(self, claim: Claim, error: BaseException) -> None:
        self.apply(engine.failing(claim, error))

    def expire_lease(self) -> None:
        """End the current lease of the tenant's run now."""
        with self.database.transaction() as session:
            past = clock(session)
            session.execute(
                update(Run)
                .where(col(Run.tenant_id) == self.tenant_id, col(Run.lease_until).is_not(None))
                .values(lease_until=past, due_at=past)
            )

    def end_waits(self) -> None:
        """End the back-offs and poll intervals of the tenant's runs now. Leases stay."""
        with self.database.statements() as statements:
            statements.connection.execute(END_WAITS.encode(), {"tenant_id": self.tenant_id})

    def sweep(self) -> None:
        """End and dispatch all due runs: those that earlier tests left may fill the batch of one transaction."""
        while self.execute(due_runs.end_due_runs):
            pass
        while self.execute(due_runs.redispatch_due_runs, lost_after=due_runs.LOST_AFTER):
            pass

    def next_move(self) -> Move:
        return self._position()[1]

    def run(self, number: int | None = None) -> Run:
        """The run of this number, by default the newest."""
        return self.read(self._run, number)

    def steps(self, number: int | None = None) -> list[RunStep]:
        return self.read(self._steps, number)

    def step(self, name: str) -> RunStep:
        return next(step for step in self.steps() if step.name == name)

    def tenant(self) -> Tenant:
        return self.read(lambda session: session.get_one(Tenant, self.tenant_id))

    def ledger(self, *statuses: ResourceStatus) -> list[str]:
        """Names of the tenant's ledger rows in these statuses, in the order in which they were intended."""
        query = select(Resource.name).where(
            Resource.tenant_id == self.tenant_id, col(Resource.status).in_(statuses or ResourceStatus)
        )
        return self.read(lambda session: list(session.exec(query.order_by(col(Resource.id)))))

    def held_resources(self) -> list[str]:
        return self.ledger(ResourceStatus.INTENDED, ResourceStatus.HELD)

    def existing_resources(self) -> list[str]:
        """Names of resources of any run of this tenant that the simulated infrastructure still has."""
        tenant = self.tenant()
        numbers = range(1, self.run().number + 1)
        return [
            name
            for number in numbers
            for name in self.simulated.present(ResourceNames(tenant.id, tenant.address, number))
        ]

    def events(self) -> list[Event]:
        query = select(Event).where(Event.tenant_id == self.tenant_id).order_by(col(Event.sequence))
        return self.read(lambda session: list(session.exec(query)))

    def event_lines(self) -> list[str]:
        """The tenant's events, one line each: ``provisioning.step_started allocate_storage``."""
        return [f"{event.type.removeprefix('tenant.')} {event.data.get('step', '')}".strip() for event in self.events()]

    def read(self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.transact(query, *args, **kwargs)

    def _position(self) -> tuple["RunPosition", Move]:
        """The newest run, and its next move. One statement without the ORM: tests make thousands of moves."""
        [(id_, kind, status, *facts, steps)] = self.execute(Statements.rows, POSITION, {"tenant_id": self.tenant_id})
        run = RunPosition(id_, RunKind(kind), RunStatus(status), *facts)
        return run, next_move(
            run, [DispatchedStep(name, StepRole(role), StepStatus(status)) for name, role, status in steps]
        )

    def _run(self, session: Session, number: int | None = None) -> Run:
        query = select(Run).where(Run.tenant_id == self.tenant_id).order_by(col(Run.number).desc())
        if number is not None:
            query = query.where(Run.number == number)
        return session.exec(query.limit(1)).one()

    def _steps(self, session: Session, number: int | None = None) -> list[RunStep]:
        run_id = self._run(session, number).id
        query = select(RunStep).where(RunStep.run_id == run_id).order_by(col(RunStep.position))
        return list(session.exec(query))

    def _deliver(self, outbox: Sequence[Any]) -> None:
        self.wake_ups.extend(outbox)


@contextmanager
def run_harness_in(settings: Settings, plan: str = "enterprise") -> Iterator[RunHarness]:
    """A harness with a new organisation on the plan ``plan``.

    Its connections are closed at the end, unless they are those of this process's settings, which the next test uses.
    """
    harness = new_run_harness(settings, plan)
    try:
        yield harness
    finally:
        harness.faults.release_all()
        if settings != settings_of_this_process():
            harness.database.close()


def new_lease(length: timedelta, owner: str = "harness") -> Lease:
    return Lease(uuid4(), owner, length)


def new_run_harness(settings: Settings, plan: str = "enterprise") -> RunHarness:
    """A harness whose connections stay open for the next one: a new connection has to read the catalogs again."""
    slug = f"org-{new_id().hex[-12:]}"
    organisation = Organisation(slug=slug, name=slug, plan_code=plan, created_at=datetime.now(UTC))
    with Database(settings, engine=engine_of(settings)).transaction() as session:
        session.add(organisation)
    return RunHarness(settings, organisation, operator_of(organisation))


@cache
def engine_of(settings: Settings) -> Engine:
    """One engine for all harnesses. A new engine compiles every statement again, which is slower than executing it.

    None is evicted: its open connections would be lost, which another test reports.
    """
    return engine_for(settings, "tenantry-run-harness")


def operator_of(organisation: Organisation, name: str = "Olga Operator") -> Actor:
    """An actor with access to the whole organisation."""
    email = f"{name.split(maxsplit=1)[0].lower()}@{organisation.slug}.example"
    return Actor(ActorKind.USER, new_id(), name, email, organisation.id)


@contextmanager
def recorded_statements(harness: RunHarness, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that are sent to the database within the block."""
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement.splitlines()[0])

    original = Statements.rows

    def rows(self: Statements, statement: Any, values: Any) -> Any:
        statements.append(statement)
        return original(self, statement, values)

    event.listen(harness.database.engine, "before_cursor_execute", note)
    try:
        with patch.context() as patched:
            patched.setattr(Statements, "rows", rows)
            yield statements
    finally:
        event.remove(harness.database.engine, "before_cursor_execute", note)
