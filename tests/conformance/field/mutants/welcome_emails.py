"""Mutants without the protection of welcome emails."""

from collections.abc import Sequence

import pytest
from sqlmodel import Session

from models import UNDONE_STATUSES, RunStep, StepRole
from provisioning import decisions, engine
from provisioning.moves import Forward, Move
from provisioning.settlement import Position
from tests.conformance.field.mutants import mutant


@mutant
def no_status_check_before_welcome_email(patch: pytest.MonkeyPatch) -> None:
    """Cancelled and failed runs send the welcome email as well."""
    original, original_begin = decisions._follow_up, engine._begin

    def follow_up(steps: Sequence[RunStep], role: StepRole) -> Move:
        mails = original(steps, StepRole.AFTERWARDS)
        return mails if isinstance(mails, Forward) else original(steps, role)

    def begin(session: Session, position: Position, step: RunStep) -> bool:
        if position.run.status in UNDONE_STATUSES and step.role is StepRole.AFTERWARDS:
            engine._begin_attempt(session, position, step)
            return True
        return original_begin(session, position, step)

    patch.setattr(decisions, "_follow_up", follow_up)
    patch.setattr(engine, "_begin", begin)
