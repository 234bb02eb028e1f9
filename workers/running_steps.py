"""The claims that this process is performing now, and how each is told to stop."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from provisioning.claims import Claim
from provisioning.step_context import StopReason, StopSignal

MAX_REMEMBERED_CANCELS = 10_000


@dataclass
class RunningStep:
    """One claim being performed. Times are of ``time.monotonic``, in seconds."""

    claim: Claim
    stop_signal: StopSignal
    deadline: float
    renewed_at: float = field(default_factory=time.monotonic)


class RunningSteps:
    """What the heartbeat renews, the cancel listener interrupts and a shutdown stops. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._performing: dict[UUID, RunningStep] = {}
        self._cancelled: OrderedDict[UUID, None] = OrderedDict()
        self._shutting_down = False
        # Set once nobody waits any more for what is still being performed: it is left to its lease.
        self.drained = threading.Event()

    @contextmanager
    def performing(self, claim: Claim) -> Iterator[StopSignal]:
        """Make a claim known for the length of the block."""
        running_step = RunningStep(claim, StopSignal(), time.monotonic() + claim.time_left.total_seconds())
        # An interrupt may arrive at any line: what nobody performs any more must not be renewed.
        try:
            with self._lock:
                self._performing[claim.token] = running_step
                self._apply_earlier_signals(running_step)
            yield running_step.stop_signal
        finally:
            with self._lock:
                self._performing.pop(claim.token, None)

    def all_steps(self) -> list[RunningStep]:
        """What is being performed now."""
        with self._lock:
            return list(self._performing.values())

    def forget(self, claim: Claim) -> None:
        """Renew it no more. Whoever still performs it has been told to stop, and nothing it writes lands."""
        with self._lock:
            self._performing.pop(claim.token, None)

    def cancel(self, run_id: UUID) -> None:
        """Tell the step of this run to stop, also one that is only about to begin: a cancelled run never goes on."""
        with self._lock:
            self._cancelled[run_id] = None
            if len(self._cancelled) > MAX_REMEMBERED_CANCELS:
                self._cancelled.popitem(last=False)
            for running_step in self._performing.values():
                if running_step.claim.run_id == run_id:
                    _signal_cancel(running_step)

    @property
    def shutting_down(self) -> bool:
        """Whether this process takes nothing on any more."""
        return self._shutting_down

    def shut_down(self) -> None:
        """Tell every move to stop at its next safe point, and every later one to stop at its first."""
        with self._lock:
            self._shutting_down = True
            for running_step in self._performing.values():
                running_step.stop_signal.set(StopReason.SHUTTING_DOWN)

    def _apply_earlier_signals(self, running_step: RunningStep) -> None:
        if running_step.claim.run_id in self._cancelled:
            _signal_cancel(running_step)
        if self._shutting_down:
            running_step.stop_signal.set(StopReason.SHUTTING_DOWN)


def _signal_cancel(running_step: RunningStep) -> None:
    if running_step.claim.interruptible:
        running_step.stop_signal.set(StopReason.CANCELLED)
