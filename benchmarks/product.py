"""The product as a black box: commands as the resolvers call them, worker processes, and rows to read the end from."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import psutil
from sqlalchemy import func
from sqlmodel import Session, col, select

from benchmarks.figures import await_condition
from benchmarks.servers import NAME, Servers
from benchmarks.world import FACTS, HOLDS, FactFile
from devserver.processes import Child, spawn
from models import Event, Organisation, RunStep, StepRole, StepStatus, Tenant, TenantState
from provisioning import cancellation, commands
from provisioning.actors import Actor
from provisioning.event_types import EventType
from provisioning.steps import saga
from runtime.database import Database, clock
from runtime.settings import Settings, read_settings
from tests.run_harness import operator_of
from workers.dispatcher import Dispatcher

T = TypeVar("T")

WORKERS = 2

FORWARD_STEPS = sum(step.role is not StepRole.CONFIRMATION for step in saga)
"""Steps of a saga that succeeds, the mails after the pivot included."""

POLL = 0.1
"""Seconds between two looks at the rows, which cost processor time. The times of the events are what is measured."""

TIMEOUT = 600.0
"""Seconds for one measurement of many sagas."""


@dataclass(frozen=True, slots=True)
class Span:
    """A number of events, and the seconds that they took."""

    events: int
    seconds: float


@dataclass
class Product:
    """A new organisation without a limit of tenants, and worker processes that serve it."""

    servers: Servers
    settings: Settings
    database: Database
    organisation: Organisation
    operator: Actor
    facts: FactFile
    workers: list[Child]

    @property
    def processes(self) -> list[psutil.Process]:
        """The worker processes."""
        return [psutil.Process(worker.process.pid) for worker in self.workers]

    def start_worker(self, *, holds: bool = False) -> Child:
        """Start one more worker process and wait until it works."""
        log = self.servers.folder / f"worker-{self.servers.database}-{len(self.workers)}.log"
        variables = dict(os.environ) | {"TENANTRY_WORLD": "simulated", FACTS: str(self.facts.path)}
        if holds:
            variables[HOLDS] = "yes"
        worker = spawn(
            "worker", [sys.executable, "-m", "benchmarks.worker"], log=log, environment=variables, timeout=30
        )
        self.workers.append(worker)
        worker.await_ready(lambda: "worker started" in log.read_text(), within=60)
        return worker

    def create(self, slug: str) -> UUID:
        """Create a tenant and its run in one transaction. Returns the tenant's id."""
        return self.database.transact(self._create, slug)

    def create_together(self, slugs: Sequence[str]) -> list[UUID]:
        """Create many tenants, then start all runs in one transaction: the workers see them at once."""
        tenant_ids = self.create_without_runs(slugs)
        self.start_together(tenant_ids)
        return tenant_ids

    def create_without_runs(self, slugs: Sequence[str]) -> list[UUID]:
        """Create many tenants in one transaction."""
        return self.database.transact(lambda session: [self._create(session, slug, start=False) for slug in slugs])

    def start_together(self, tenant_ids: Sequence[UUID]) -> None:
        """Start the first runs of many tenants in one transaction."""
        self.database.transact(
            lambda session: [commands.retry_provisioning(session, id_, by=self.operator) for id_ in tenant_ids]
        )

    def cancel(self, tenant_id: UUID) -> None:
        """Request to cancel."""
        self.database.transact(cancellation.cancel_provisioning, tenant_id, by=self.operator)

    def cancel_together(self, tenant_ids: Sequence[UUID]) -> None:
        """Request to cancel all in one transaction."""
        self.database.transact(cancellation.cancel_provisionings, tenant_ids, by=self.operator)

    def state(self, tenant_id: UUID) -> TenantState:
        """The state of a tenant."""
        return self.read(lambda session: session.get_one(Tenant, tenant_id).state)

    def tenants_in(self, state: TenantState) -> int:
        """How many tenants are in this state."""
        counting = select(func.count()).select_from(Tenant).where(Tenant.state == state)
        return self.read(lambda session: session.exec(counting).one())

    def in_flight(self, word: str) -> UUID | None:
        """Any tenant that is PROVISIONING and has a slug with this first word, if there is one."""
        query = select(Tenant.id).where(
            Tenant.state == TenantState.PROVISIONING, col(Tenant.slug).startswith(f"{word}-")
        )
        return self.read(lambda session: session.exec(query.order_by(func.random()).limit(1)).first())

    def steps_in(self, status: StepStatus) -> int:
        """How many steps of all runs have this status."""
        counting = select(func.count()).select_from(RunStep).where(RunStep.status == status)
        return self.read(lambda session: session.exec(counting).one())

    def first(self, event_type: EventType) -> dict[UUID, datetime]:
        """When each tenant had its first event of this type, by the clock of Postgres."""
        query = (
            select(Event.tenant_id, func.min(Event.created_at))
            .where(Event.type == event_type)
            .group_by(col(Event.tenant_id))
        )
        return self.read(lambda session: {tenant_id: at for tenant_id, at in session.exec(query) if tenant_id})

    def span(self, first: EventType, *last: EventType, since: datetime) -> Span:
        """From the first event of one type to the last event of others, and the number of those."""
        begin = select(func.min(Event.created_at)).where(Event.type == first, Event.created_at >= since)
        ends = select(func.max(Event.created_at), func.count()).where(
            col(Event.type).in_(last), Event.created_at >= since
        )
        began = self.read(lambda session: session.exec(begin).one())
        ended, events = self.read(lambda session: session.exec(ends).one())
        return Span(events, (ended - began).total_seconds())

    def now(self) -> datetime:
        """The time of Postgres."""
        return self.read(clock)

    def read(self, query: Callable[[Session], T]) -> T:
        """Run a query in a transaction."""
        return self.database.transact(query)

    def await_all(self, done: Callable[[], bool]) -> None:
        """Wait until a condition on many sagas holds."""
        await_condition(done, within=TIMEOUT, poll=POLL)

    def warm_up(self, sagas: int = 8) -> None:
        """Let sagas pass both ways, so that connections are open and statements are compiled."""
        before = self.steps_in(StepStatus.DONE)
        self.create_together([f"warm-{number}" for number in range(sagas)])
        self.await_all(lambda: self.steps_in(StepStatus.DONE) >= before + sagas * FORWARD_STEPS)
        undone = self.create_together([f"waiting-warm-{number}" for number in range(sagas)])
        self.await_all(lambda: len(list(self.facts.read("looked"))) >= sagas)
        self.cancel_together(undone)
        self.await_all(lambda: self.tenants_in(TenantState.PENDING) == sagas)

    def _create(self, session: Session, slug: str, *, start: bool = True) -> UUID:
        wanted = commands.NewTenant(slug=slug, plan="enterprise", first_admin_email="first@shop.example", start=start)
        change = commands.create_tenant(
            session, wanted, organisation_id=self.organisation.id, by=self.operator, regions=self.settings.regions
        )
        return change.tenant.id


@contextmanager
def product(servers: Servers, workers: int = WORKERS, *, holds: bool = False) -> Iterator[Product]:
    """Start the product on a new database."""
    servers.renew()
    settings = read_settings()
    with ExitStack() as stack:
        dispatcher = Dispatcher(settings)
        stack.callback(dispatcher.close)
        database = Database(settings, dispatcher, name=NAME)
        stack.callback(database.close)
        with database.transaction() as session:
            organisation = Organisation(slug="bench", name="Bench", plan_code="enterprise", created_at=clock(session))
            session.add(organisation)
        facts = FactFile(servers.folder / f"facts-{servers.database}")
        built = Product(servers, settings, database, organisation, operator_of(organisation), facts, [])
        stack.callback(stop_all, built.workers)
        for _ in range(workers):
            built.start_worker(holds=holds)
        yield built


def stop_all(workers: Sequence[Child]) -> None:
    """Stop worker processes, all at the same time."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.stop()
