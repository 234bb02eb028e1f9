"""The claims that this process performs now, each with its stop signal."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from provisioning.claims import Claim
from provisioning.step_context import StopReason, StopSignal

MAX_REMEMBERED_CANCELS = 10_000


@dataclass
class RunningStep:
    """A claim that is being performed. Times are from ``time.monotonic``, in seconds."""

    claim: Claim
    stop_signal: StopSignal
    deadline: float
    renewed_at: float


class RunningSteps:
    """The steps for the heartbeat to renew, and for cancels and shutdown to stop. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._performing: dict[UUID, RunningStep] = {}
        # By run, then by token: a claim of a run that lost its lease may not have ended yet.
        self._of_runs: dict[UUID, dict[UUID, RunningStep]] = {}
        self._cancelled: OrderedDict[UUID, None] = OrderedDict()
        self._shutting_down = False
        # Set at the end of the drain: a step that is still running is then left to its lease.
        self.drained = threading.Event()

    @contextmanager
    def performing(self, claim: Claim) -> Iterator[StopSignal]:
        """Register a claim until the end of the block."""
        # An interrupt may arrive at any line, and the lease of a step that has ended must not be renewed.
        try:
            yield self.keep(claim)
        finally:
            self.forget(claim)

    def keep(self, claim: Claim) -> StopSignal:
        """Register a claim until ``forget``."""
        running_step = RunningStep(
            claim, StopSignal(), time.monotonic() + claim.time_left.total_seconds(), claim.renewed_at
        )
        with self._lock:
            self._performing[claim.token] = running_step
            self._of_runs.setdefault(claim.run_id, {})[claim.token] = running_step
            self._apply_earlier_signals(running_step)
        return running_step.stop_signal

    def all_steps(self) -> list[RunningStep]:
        """The steps that are running now."""
        with self._lock:
            return list(self._performing.values())

    def forget(self, claim: Claim) -> None:
        """Stop renewing this claim: its step has ended, or has a stop signal while its writes are fenced off."""
        with self._lock:
            self._performing.pop(claim.token, None)
            of_run = self._of_runs.get(claim.run_id, {})
            of_run.pop(claim.token, None)
            if not of_run:
                self._of_runs.pop(claim.run_id, None)

    def cancel(self, run_id: UUID) -> None:
        """Stop the step of this run, also one that is registered later: a cancelled run never goes forward again."""
        with self._lock:
            self._cancelled[run_id] = None
            if len(self._cancelled) > MAX_REMEMBERED_CANCELS:
                self._cancelled.popitem(last=False)
            for running_step in self._of_runs.get(run_id, {}).values():
                _signal_cancel(running_step)

    @property
    def shutting_down(self) -> bool:
        """Whether this process accepts no new moves."""
        return self._shutting_down

    def shut_down(self) -> None:
        """Stop every step at its next safe point, and every later step at its first."""
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
