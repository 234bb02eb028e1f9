"""How long a caller waits: createTenant, the first step, a cancel; in an idle product and with many sagas in flight."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from benchmarks.product import TIMEOUT, Product, product
from benchmarks.servers import Servers
from benchmarks.world import HELD
from models import TenantState
from provisioning.errors import NotProvisioning
from provisioning.event_types import EventType

IN_FLIGHT, STOCK = 200, 600
"""Sagas in flight, and tenants that are created before, so that starting their runs keeps up with the workers."""

PROBES = 12
"""Tenants for each figure in one round."""

HELD_PROBES = 4
"""Tenants whose step is held while many sagas are in flight: each holds one of the twelve threads for steps."""

LOAD = "load"
"""The first word of the slugs of the sagas in flight."""

SPACING = 0.1
"""Seconds between two cancels, so that they do not wait for each other."""

REFILL = 0.02
"""Seconds between two looks at how many sagas are in flight."""


@dataclass
class Latencies:
    """Samples in milliseconds, by what was measured."""

    running: Product
    samples: dict[str, list[float]] = field(default_factory=dict)
    _answered: dict[UUID, float] = field(default_factory=dict)
    _cancelled: dict[UUID, str] = field(default_factory=dict)

    def create(self, slug: str) -> UUID:
        """Create a tenant. Adds the duration of the call."""
        began = time.perf_counter()
        tenant_id = self.running.create(slug)
        self._add("createTenant", time.perf_counter() - began)
        self._answered[tenant_id] = time.time()
        return tenant_id

    def cancel(self, tenant_id: UUID, slug: str = "") -> None:
        """Request to cancel, unless the tenant has become ACTIVE. The slug is that of a step that is held."""
        self._cancelled[tenant_id] = slug
        try:
            self.running.cancel(tenant_id)
        except NotProvisioning:
            del self._cancelled[tenant_id]

    def all_are_undone(self) -> bool:
        """Whether every tenant that was cancelled is PENDING."""
        return self._cancelled.keys() <= self.running.first(EventType.CANCELLED).keys()

    def add_first_steps(self) -> None:
        """Add the times from the answer to the first step of every tenant that was created. At least zero."""
        started = self.running.first(EventType.STEP_STARTED)
        for tenant_id, answered in self._answered.items():
            if tenant_id in started:
                self._add("answered to first step", max(0.0, started[tenant_id].timestamp() - answered))

    def add_cancels(self) -> None:
        """Add the times from the record of each cancel, before its commit, to what followed."""
        requested, cancelled = (
            self.running.first(event_type) for event_type in (EventType.CANCEL_REQUESTED, EventType.CANCELLED)
        )
        told = {
            fact.subject.removesuffix(f"-{self.running.organisation.slug}"): fact.at
            for fact in self.running.facts.read("told")
        }
        for tenant_id, slug in self._cancelled.items():
            to_pending = (cancelled[tenant_id] - requested[tenant_id]).total_seconds()
            if slug not in told:
                self._add("cancel to PENDING, any step", to_pending)
                continue
            self._add("cancel to step told", told[slug] - requested[tenant_id].timestamp())
            self._add("cancel to PENDING, six steps undone", to_pending)

    def _add(self, what: str, seconds: float) -> None:
        self.samples.setdefault(what, []).append(seconds * 1000)


@dataclass(frozen=True)
class Loaded:
    """What was measured with many sagas in flight. ``in_flight`` is their number at each cancel."""

    samples: dict[str, list[float]]
    in_flight: list[int]
    stale_messages: float


def measure_idle(servers: Servers) -> dict[str, list[float]]:
    """One tenant at a time, and nothing else."""
    with product(servers, holds=True) as running:
        running.warm_up()
        latencies = Latencies(running)
        for number in range(PROBES):
            tenant_id = latencies.create(f"{HELD}-{number}")
            _await_held(running, number + 1)
            latencies.cancel(tenant_id, f"{HELD}-{number}")
            _await_pending(running, [tenant_id])
        latencies.add_first_steps()
        latencies.add_cancels()
    return latencies.samples


def measure_loaded(servers: Servers) -> Loaded:
    """The same with many sagas in flight: steps that were held before, and tenants that are created in the middle."""
    in_flight = []
    with product(servers, holds=True) as running:
        running.warm_up()
        latencies = Latencies(running)
        held = {f"{HELD}-{number}": running.create(f"{HELD}-{number}") for number in range(HELD_PROBES)}
        _await_held(running, HELD_PROBES)
        with kept_in_flight(running, IN_FLIGHT + HELD_PROBES):
            new = {latencies.create(f"new-{number}") for number in range(PROBES)}
            for slug, tenant_id in held.items():
                in_flight.append(running.tenants_in(TenantState.PROVISIONING))
                latencies.cancel(tenant_id, slug)
                time.sleep(SPACING)
            for _ in range(PROBES):
                in_flight.append(running.tenants_in(TenantState.PROVISIONING))
                if passing := running.in_flight(LOAD):
                    latencies.cancel(passing)
                time.sleep(SPACING)
        running.await_all(lambda: new <= running.first(EventType.STEP_STARTED).keys())
        running.await_all(latencies.all_are_undone)
        latencies.add_first_steps()
        latencies.add_cancels()
    messages, stale = (sum(int(fact.subject) for fact in running.facts.read(kind)) for kind in ("messages", "stale"))
    return Loaded(latencies.samples, in_flight, stale / messages)


@contextmanager
def kept_in_flight(running: Product, number: int) -> Iterator[None]:
    """Keep so many tenants PROVISIONING: a thread starts others of the stock when some are finished."""
    stock = running.create_without_runs([f"{LOAD}-{each}" for each in range(STOCK)])
    began, finished, errors = threading.Event(), threading.Event(), list[BaseException]()

    def refill() -> None:
        try:
            while not finished.is_set():
                missing = number - running.tenants_in(TenantState.PROVISIONING)
                if starting := [stock.pop() for _ in range(min(missing, len(stock)))]:
                    running.start_together(starting)
                began.set()
                finished.wait(REFILL)
        except BaseException as error:  # noqa: BLE001  # raised by the other thread
            errors.append(error)
            began.set()

    refilling = threading.Thread(target=refill, name="refill")
    refilling.start()
    try:
        began.wait(TIMEOUT)
        yield
    finally:
        finished.set()
        refilling.join()
    for error in errors:
        raise error


def _await_held(running: Product, number: int) -> None:
    running.await_all(lambda: sum(1 for _ in running.facts.read("began")) >= number)


def _await_pending(running: Product, tenant_ids: list[UUID]) -> None:
    running.await_all(lambda: all(running.state(id_) is TenantState.PENDING for id_ in tenant_ids))
