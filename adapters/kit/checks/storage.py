"""A tenant's tables live and die with its storage."""

import pytest

from adapters.kit.case import Case
from provisioning.ports import Refused


def test_migrating_twice_is_migrating_once(case: Case) -> None:
    """The step that applies the schema is tried again like every other."""
    names = case.fresh()
    case.create(names)

    case.adapter.migrate(names)
    case.adapter.migrate(names)

    assert case.present(names) == case.names(names)


def test_what_was_migrated_is_destroyed_with_its_tables(case: Case) -> None:
    """Migrating takes nothing of its own that an undo would have to know of."""
    names = case.fresh()
    case.create(names)
    case.adapter.migrate(names)

    case.destroy(names)

    assert case.present(names) == []


def test_what_was_destroyed_is_not_migrated(case: Case) -> None:
    """A late migration has to be refused like a late creation, and to create nothing."""
    names = case.fresh()
    case.create(names)
    case.destroy(names)

    with pytest.raises(Refused):
        case.adapter.migrate(names)

    assert case.present(names) == []
