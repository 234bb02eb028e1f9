"""The context that a step gets: infrastructure, resource names, facts of the tenant, a journal, a stop signal."""

import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from provisioning.ports import Infrastructure, StopToken
from provisioning.resource_names import ResourceNames


class StopReason(StrEnum):
    """Why a step has to stop. The value is the message for operators."""

    CANCELLED = "a cancel was requested"
    LEASE_LOST = "the lease of this move was lost to another worker"
    SHUTTING_DOWN = "the worker is shutting down"
    DATABASE_UNAVAILABLE = "the control plane's own database did not answer"
    TIMED_OUT = "the attempt exceeded the timeout of the step"


class StepStopped(Exception):
    """Raised inside a step at its next safe point after its stop signal was set."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StopSignal:
    """A signal to stop a step, set from any thread. Only the first reason counts.

    ``on_set`` is called after each ``set``, on its thread.
    """

    on_set: Callable[[], None] | None = None

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason: StopReason | None = None
        self._set_at = 0.0

    def set(self, reason: StopReason) -> None:
        """Make the step stop at its next safe point."""
        with self._lock:
            if self._reason is None:
                self._reason, self._set_at = reason, time.monotonic()
        self._event.set()
        if self.on_set is not None:
            self.on_set()

    def ignored_for(self, seconds: float) -> bool:
        """Whether the signal was set at least so many seconds ago."""
        return self._reason is not None and time.monotonic() - self._set_at >= seconds

    @property
    def reason(self) -> StopReason | None:
        """Why the step has to stop. None while the signal is not set."""
        return self._reason

    def check(self) -> None:
        """Raise StepStopped if the signal is set."""
        if self._reason is not None:
            raise StepStopped(self._reason)

    def wait(self, seconds: float) -> None:
        """Wait so many seconds. Raises StepStopped as soon as the signal is set."""
        self._event.wait(seconds)
        self.check()


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Resources that an operator decided not to release: their names, and the steps that took them."""

    names: frozenset[str]
    steps: frozenset[str]


class Journal(Protocol):
    """What a step may read and write in the database, each in a short transaction fenced by the claim's token."""

    def progress(self, percent: int | None, message: str) -> None:
        """Publish the progress of the step."""

    def validation_errors(self) -> list[str]:
        """Why the tenant cannot be provisioned with its current values: one sentence each."""

    def abandoned(self) -> Abandoned:
        """The resources that an operator abandoned."""

    def record_absence_check(self, found: Sequence[str], found_abandoned: Sequence[str], *, complete: bool) -> int:
        """Record the resources that an absence check found. Returns the number of absence checks so far.

        ``complete``: every adapter answered.
        """


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """The facts of a tenant that its steps use."""

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
    """Passed to each action and compensation. It is also the stop token of adapters.

    ``parts_done`` is the number of parts of the step that earlier attempts have finished.
    """

    infrastructure: Infrastructure
    names: ResourceNames
    tenant: TenantFacts
    attempt: int
    journal: Journal
    stop_signal: StopSignal = field(default_factory=StopSignal)
    parts_done: int = 0

    def progress(self, percent: int | None, message: str) -> None:
        """Publish the progress of the step. Also a safe point."""
        self.checkpoint()
        self.journal.progress(percent, message)

    def checkpoint(self) -> None:
        """A safe point: raises StepStopped if the step has to stop."""
        self.stop_signal.check()

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds. Raises StepStopped as soon as the step has to stop."""
        self.stop_signal.wait(seconds)

    def simulate_delay(self, pace: timedelta) -> None:
        """Wait for ``pace`` while publishing progress, so that a person can follow this step and cancel it."""
        began, whole = time.monotonic(), pace.total_seconds()
        while (spent := time.monotonic() - began) < whole:
            self.progress(int(100 * spent / whole), "Simulated delay")
            self.sleep(min(0.25, whole - spent))


current_stop_token: ContextVar[StopToken | None] = ContextVar("current_stop_token", default=None)
"""The stop token of the step that this thread performs, for port methods without a stop token parameter."""
