"""What a step gets while it runs: infrastructure, names, a journal, and a signal to stop."""

import threading
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from provisioning.ports import Infrastructure, StopToken
from provisioning.resource_names import ResourceNames


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
            self.progress(int(100 * spent / whole), "Simulated delay")
            self.sleep(min(0.25, whole - spent))


current_stop_token: ContextVar[StopToken | None] = ContextVar("current_stop_token", default=None)
"""The patience of the step that this thread performs, for adapters whose ports do not hand them one."""
