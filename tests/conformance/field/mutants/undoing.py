"""Protections of what is being undone."""

import pytest
from sqlmodel import Session

from models import Run, RunStatus, RunStep, Tenant, TenantState
from provisioning import commands, decisions, engine
from provisioning.actors import Actor
from provisioning.locking import locked_live_run
from provisioning.resource_names import ResourceNames
from provisioning.settlement import Position
from runtime.database import clock
from tests.conformance.field.mutants import mutant


@mutant
def no_word_of_the_cancel_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """A run that failed ends as one that failed, whatever was asked meanwhile."""

    def outcome_of(run: Run) -> RunStatus:
        return RunStatus.FAILED if run.failed_step else genuine(run)

    genuine = decisions.outcome_of
    patch.setattr(decisions, "outcome_of", outcome_of)


@mutant
def no_stop_at_a_failed_undo(patch: pytest.MonkeyPatch) -> None:
    """An undo that cannot succeed is taken for done."""

    def compensation_failed(session: Session, position: Position, step: RunStep, _: str, *, final: bool) -> None:
        engine._undone(session, position, step)

    patch.setattr(engine, "_compensation_failed", compensation_failed)


@mutant
def no_wait_before_a_retry(patch: pytest.MonkeyPatch) -> None:
    """A retry takes the tenant from the run that is still being undone."""
    genuine = commands._start

    def start(session: Session, tenant: Tenant, by: Actor) -> object:
        run = locked_live_run(session, tenant.id)
        if run is not None and run.cancel_requested:
            run.status, run.finished_at, run.due_at = RunStatus.CANCELLED, clock(session), None
            run.lease_token = run.lease_until = None
            tenant.state = TenantState.PENDING
            session.flush()
        return genuine(session, tenant, by)

    patch.setattr(commands, "_start", start)


@mutant
def no_run_number_in_names(patch: pytest.MonkeyPatch) -> None:
    """Every run of a tenant takes its resources under the same names."""
    patch.setattr(ResourceNames, "stem", property(lambda mine: f"{mine.address}-{mine.tag}"))
    patch.setattr(ResourceNames, "schema", property(lambda mine: f"t_{mine._short}_{mine.tag}"))
