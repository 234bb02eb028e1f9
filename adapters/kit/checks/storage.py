"""A tenant's tables exist as long as its storage."""

import pytest

from adapters.kit.check_context import CheckContext
from provisioning.ports import Refused


def test_migrating_twice_is_migrating_once(context: CheckContext) -> None:
    """A second attempt of the step apply_schema fails."""
    names = context.new_names()
    context.create(names)

    context.adapter.migrate(names)
    context.adapter.migrate(names)

    assert context.present(names) == context.ledger_names(names)


def test_migrated_storage_is_destroyed_with_its_tables(context: CheckContext) -> None:
    """Tables remain when the schema is destroyed."""
    names = context.new_names()
    context.create(names)
    context.adapter.migrate(names)

    context.destroy(names)

    assert context.present(names) == []


def test_destroyed_storage_is_not_migrated(context: CheckContext) -> None:
    """A late migration does not raise Refused, or creates something."""
    names = context.new_names()
    context.create(names)
    context.destroy(names)

    with pytest.raises(Refused):
        context.adapter.migrate(names)

    assert context.present(names) == []
