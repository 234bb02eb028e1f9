"""Mutants without the protections of an undo."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import RunStatus, Tenant, TenantState
from provisioning import commands, decisions, step_endings
from provisioning.actors import Actor
from provisioning.locking import locked_live_run
from provisioning.position import StepValues
from provisioning.resource_names import ResourceNames
from runtime.database import clock
from tests.conformance.field.mutants import mutant


@mutant
def no_cancel_check_in_outcome(patch: pytest.MonkeyPatch) -> None:
    """A run that failed before it was cancelled ends as FAILED."""

    def outcome_of(run: Any) -> RunStatus:
        return RunStatus.FAILED if run.failed_step else original(run)

    original = decisions.outcome_of
    patch.setattr(decisions, "outcome_of", outcome_of)


@mutant
def no_stop_at_failed_undo(patch: pytest.MonkeyPatch) -> None:
    """A failed undo counts as done."""

    def compensation_failed(draft: Any, step: StepValues, _: object) -> None:
        step_endings.undone(draft, step)

    patch.setattr(step_endings, "compensation_failed", compensation_failed)


@mutant
def no_wait_for_undo_before_retry(patch: pytest.MonkeyPatch) -> None:
    """A retry starts a new run while the old one is still being undone.

    With the rights of the product itself: Postgres refuses to end the run of a caller while it holds resources.
    """
    original = commands._start

    def start(session: Session, tenant: Tenant, by: Actor) -> object:
        run = locked_live_run(session, tenant.id)
        if run is not None and run.cancel_requested:
            session.execute(text("RESET ROLE"))
            run.status, run.finished_at, run.due_at = RunStatus.CANCELLED, clock(session), None
            run.lease_token = run.lease_until = None
            tenant.state = TenantState.PENDING
            session.flush()
        return original(session, tenant, by)

    patch.setattr(commands, "_start", start)


@mutant
def no_run_number_in_resource_names(patch: pytest.MonkeyPatch) -> None:
    """All runs of a tenant use the same resource names."""
    patch.setattr(ResourceNames, "stem", property(lambda names: f"{names.address}-{names.tag}"))
    patch.setattr(ResourceNames, "schema", property(lambda names: f"t_{names._short}_{names.tag}"))
