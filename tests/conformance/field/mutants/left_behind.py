"""Mutants that keep from operators what they have to know about an undo."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from provisioning import due_runs, run_reader
from provisioning.position import Position
from tests.conformance.field.mutants import mutant


@mutant
def no_list_of_abandoned_resources(patch: pytest.MonkeyPatch) -> None:
    """The end of an undo does not look for abandoned resources."""

    original = run_reader._position_of

    def position_of(row: Sequence[Any]) -> Position:
        return original(row)._replace(left_behind=())

    patch.setattr(run_reader, "_position_of", position_of)


@mutant
def no_alarm_of_delayed_undos(patch: pytest.MonkeyPatch) -> None:
    """The sweeper does not look for undos that take long."""

    def delayed_undos(session: Session, alarm: timedelta) -> list[UUID]:
        return []

    patch.setattr(due_runs, "delayed_undos", delayed_undos)
