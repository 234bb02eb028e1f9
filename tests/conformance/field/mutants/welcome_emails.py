"""Mutants without the protection of welcome emails."""

from collections.abc import Iterable
from typing import Any

import pytest

from models import UNDONE_STATUSES, StepRole
from provisioning import decisions, transitions
from provisioning.decisions import DecidingStep
from provisioning.moves import Forward, Move
from provisioning.position import StepValues
from provisioning.transition import Takes
from tests.conformance.field.mutants import mutant


@mutant
def no_status_check_before_welcome_email(patch: pytest.MonkeyPatch) -> None:
    """Cancelled and failed runs send the welcome email as well."""
    original, original_begin = decisions._follow_up, transitions._begin

    def follow_up(steps: Iterable[DecidingStep], role: StepRole) -> Move:
        steps = list(steps)
        mails = original(steps, StepRole.AFTERWARDS)
        return mails if isinstance(mails, Forward) else original(steps, role)

    def begin(draft: Any, step: StepValues, takes: Takes, *, taken_over: bool) -> bool:
        if draft.run.status in UNDONE_STATUSES and step.role is StepRole.AFTERWARDS:
            transitions._begin_attempt(draft, step, takes)
            return True
        return original_begin(draft, step, takes, taken_over=taken_over)

    patch.setattr(decisions, "_follow_up", follow_up)
    patch.setattr(transitions, "_begin", begin)
