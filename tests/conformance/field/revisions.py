"""Step lists of other releases, for scenarios that upgrade the product while runs are in progress."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from models import StepRole
from provisioning.saga import Saga, Step
from provisioning.step_context import StepContext

NEXT_STEPS = (
    "validate_request",
    "allocate_traffic",
    "issue_identity",
    "allocate_storage",
    "apply_schema",
    "deploy_workloads",
    "announce_workload",
)
"""The steps of the next release before its pivot."""

UNDO_SECONDS = 8
UNDO_ATTEMPTS = 2
"""Time of one attempt and attempts of the undo of a workload, with ``short_undo``."""


def uninterruptible(saga: Saga) -> None:
    """One step is not interruptible."""
    saga["allocate_identity"].interruptible = False


def pivot_only(saga: Saga) -> None:
    """Only the pivot, for races by the thousand."""
    for name in [step.name for step in saga if step.name != "mark_active"]:
        del saga._steps[name]


def next_release(saga: Saga) -> None:
    """Renames one step, swaps two, drops the last and adds another in its place."""
    old = dict(saga._steps)
    renamed = replace(old["allocate_identity"], name="issue_identity")
    added = Step("announce_workload", "Announce", StepRole.STEP, _announce, timedelta(seconds=30), 3)
    for name in ("allocate_identity", "await_readiness"):
        saga.retired(old[name])
    steps = old | {renamed.name: renamed, added.name: added}
    after = [name for name in old if old[name].role is not StepRole.STEP]
    retired = [name for name in old if old[name].retired]
    saga._steps = {name: steps[name] for name in (*NEXT_STEPS, *after, *retired)}


def short_undo(saga: Saga) -> None:
    """The undo of the workload has little time and few attempts."""
    saga["deploy_workloads"].undo_timeout = timedelta(seconds=UNDO_SECONDS)
    saga["deploy_workloads"].undo_attempts = UNDO_ATTEMPTS


def _announce(ctx: StepContext) -> None:
    ctx.progress(100, "Announced.")


REVISIONS = (uninterruptible, pivot_only, next_release, short_undo)
ALL: dict[str, Callable[[Saga], None]] = {revision.__name__: revision for revision in REVISIONS}
