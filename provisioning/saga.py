"""What a saga is made of: steps, their compensations, a pivot, and the context in which a step runs."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from models import StepRole, Tenant
from provisioning.ports import Infrastructure, StopToken
from provisioning.resource_names import ResourceNames


@dataclass(frozen=True, slots=True)
class Done:
    """The step reached its goal; for a compensation: everything is confirmed absent."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Nothing is wrong, look again later. No thread waits meanwhile."""

    after: timedelta


Outcome = Done | NotYet


class StopReason(StrEnum):
    """Why a step that is being performed has to stop."""

    CANCELLED = "a cancel is on record"
    LEASE_LOST = "another worker owns this move now"
    SHUTTING_DOWN = "the worker is shutting down"
    DATABASE_UNAVAILABLE = "the product's own database did not answer"
    TIMED_OUT = "the attempt took longer than the step may"


class StepStopped(Exception):
    """Raised inside a step at its next safe point after it was told to stop."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StopSignal:
    """How a step is told to stop, from any thread. The first reason stays."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._lock = threading.Lock()
        self._reason: StopReason | None = None
        self._told_at = 0.0

    def set(self, reason: StopReason) -> None:
        """Tell the step to stop at its next safe point."""
        with self._lock:
            if self._reason is None:
                self._reason, self._told_at = reason, time.monotonic()
        self._told.set()

    def ignored_for(self, seconds: float) -> bool:
        """Whether the step was told to stop so long ago that it is not to be expected any more."""
        return self._reason is not None and time.monotonic() - self._told_at >= seconds

    @property
    def reason(self) -> StopReason | None:
        """Why the step has to stop; None while it may go on."""
        return self._reason

    def check(self) -> None:
        """Raise StepStopped when the step was told to stop."""
        if self._reason is not None:
            raise StepStopped(self._reason)

    def wait(self, seconds: float) -> None:
        """Wait so many seconds, or raise StepStopped as soon as the step is told to stop."""
        self._told.wait(seconds)
        self.check()


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Resources that an operator decided to leave as they are, by name, and the steps that took them."""

    names: frozenset[str]
    steps: frozenset[str]


class Journal(Protocol):
    """What a step may put on record while it runs, each in a short transaction fenced by the claim's token."""

    def intend(self, kind: str, name: str) -> None:
        """Write a resource into the ledger before it is created. Raises StepStopped when the claim is lost."""

    def progress(self, percent: int | None, message: str) -> None:
        """Show how far the step is."""

    def validation_errors(self) -> list[str]:
        """Why the tenant's request cannot be fulfilled as it stands: one sentence each."""

    def abandoned(self) -> Abandoned:
        """What an operator left behind knowingly."""

    def record_absence_check(self, found: Sequence[str]) -> int:
        """Keep what a look outside found after the undo; how many looks there were with this one."""


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """What a step may know about its tenant."""

    slug: str
    name: str
    organisation_slug: str
    region: str
    plan: str
    first_admin_email: str
    host_name: str
    url: str
    console_url: str


@dataclass(frozen=True)
class StepContext:
    """Everything a step gets."""

    infrastructure: Infrastructure
    names: ResourceNames
    tenant: TenantFacts
    attempt: int
    journal: Journal
    stop_signal: StopSignal = field(default_factory=StopSignal)

    def intend(self, kind: str, name: str) -> None:
        """Say what is about to be created. Nothing may be created outside before this returned."""
        self.checkpoint()
        self.journal.intend(kind, name)

    def progress(self, percent: int | None, message: str) -> None:
        """Tell watchers how far the step is. Also a safe point."""
        self.checkpoint()
        self.journal.progress(percent, message)

    def checkpoint(self) -> None:
        """A safe point: raises StepStopped when the step was told to stop."""
        self.stop_signal.check()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the step is told to stop."""
        self.stop_signal.wait(seconds)

    def simulate_delay(self, pace: timedelta) -> None:
        """Spend ``pace`` visibly, so that a person can watch this step and cancel it."""
        began, whole = time.monotonic(), pace.total_seconds()
        while (spent := time.monotonic() - began) < whole:
            self.progress(int(100 * spent / whole), "Taking its time (--pace)")
            self.sleep(min(0.25, whole - spent))


current_stop_token: ContextVar[StopToken | None] = ContextVar("current_stop_token", default=None)
"""The patience of the step that this thread performs, for adapters whose ports do not hand them one."""

Action = Callable[[StepContext], Outcome | None]


def nothing_held(_: StepContext) -> None:
    """The compensation of a step that takes nothing of its own."""


@dataclass(eq=False)
class Step:
    """One named unit of a saga and what undoes it."""

    name: str
    title: str
    role: StepRole
    action: Action
    timeout: timedelta
    attempts: int
    interruptible: bool = True
    undo: Action = nothing_held
    retired: bool = False

    def compensation(self, undo: Action) -> Action:
        """Declare what undoes this step: idempotent, safe if it never ran, done only when absence is confirmed."""
        self.undo = undo
        return undo


class UnknownStep(LookupError):
    """A run was planned with a step that this release does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"This release has no step called {name!r}: deploy one that has.")
        self.name = name


class Saga:
    """Ordered steps, a pivot, and what follows it."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        self._go_live: Callable[[Tenant], None] | None = None

    def __iter__(self) -> Iterator[Step]:
        """What a run that begins now is planned with."""
        return (step for step in self._steps.values() if not step.retired)

    def __getitem__(self, name: str) -> Step:
        """The step of this name, also one that is retired. Raises UnknownStep."""
        try:
            return self._steps[name]
        except KeyError:
            raise UnknownStep(name) from None

    def step(
        self, title: str, *, timeout: timedelta, attempts: int, interruptible: bool = True
    ) -> Callable[[Action], Step]:
        """Declare the next step. ``timeout`` bounds one attempt; ``attempts`` are counted before they start."""
        return self._declare(title, StepRole.STEP, timeout, attempts, interruptible=interruptible)

    def retired(self, step: Step) -> Step:
        """Plan this step no more. Runs that were planned with it still find it, forward and to undo it."""
        assert step.role is StepRole.STEP, f"{step.name} cannot be retired: no run goes without its role"
        step.retired = True
        return step

    def pivot(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Callable[[Tenant], None]], Step]:
        """Declare the point of no return: it acts on the tenant's row, in the transaction that ends the run."""

        def declare(go_live: Callable[[Tenant], None]) -> Step:
            self._go_live = go_live
            step = Step(go_live.__name__, title, StepRole.PIVOT, nothing_held, timeout, attempts, interruptible=False)
            return self._add(step)

        return declare

    def afterwards(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare what follows the pivot: best effort, it never blocks or fails the tenant."""
        return self._declare(title, StepRole.AFTERWARDS, timeout, attempts, interruptible=False)

    def confirmation(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare what follows the undo: it asks outside whether everything is gone. The run has ended by then."""
        return self._declare(title, StepRole.CONFIRMATION, timeout, attempts, interruptible=False)

    def compensate_every_step(self, ctx: StepContext, *, except_for: frozenset[str]) -> None:
        """Every compensation but those of the named steps, last step first. Each is safe if its step never ran.

        Retired steps are undone too: the run may have been planned with them. One that fails does not keep the others
        from being tried; then the first failure is raised. Raises StepStopped when the step was told to stop.
        """
        failures = []
        for step in reversed(self._steps.values()):
            if step.role is StepRole.STEP and step.name not in except_for:
                try:
                    step.undo(ctx)
                except Exception as failure:  # noqa: BLE001  # raised below, once all were tried
                    ctx.checkpoint()
                    failures.append(failure)
        if failures:
            raise failures[0]

    def go_live(self, tenant: Tenant) -> None:
        """Take the tenant over the pivot."""
        assert self._go_live is not None, "a saga has a pivot"
        self._go_live(tenant)

    def _declare(
        self, title: str, role: StepRole, timeout: timedelta, attempts: int, *, interruptible: bool
    ) -> Callable[[Action], Step]:
        def declare(action: Action) -> Step:
            return self._add(Step(action.__name__, title, role, action, timeout, attempts, interruptible))

        return declare

    def _add(self, step: Step) -> Step:
        assert step.name not in self._steps, f"{step.name} is declared twice"
        self._steps[step.name] = step
        return step
