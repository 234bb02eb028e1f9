"""Mutants that keep from operators what they have to know about an undo."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from provisioning import due_runs, ledger
from tests.conformance.field.mutants import mutant


@mutant
def no_list_of_abandoned_resources(patch: pytest.MonkeyPatch) -> None:
    """The end of an undo does not look for abandoned resources."""

    def left_behind(session: Session, tenant_id: UUID) -> list[dict[str, Any]]:
        return []

    patch.setattr(ledger, "left_behind", left_behind)


@mutant
def no_alarm_of_delayed_undos(patch: pytest.MonkeyPatch) -> None:
    """The sweeper does not look for undos that take long."""

    def delayed_undos(session: Session, alarm: timedelta) -> list[UUID]:
        return []

    patch.setattr(due_runs, "delayed_undos", delayed_undos)
