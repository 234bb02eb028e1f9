"""Destroying returns only after absence was confirmed, so it raises while the infrastructure is unreachable."""

import pytest

from adapters.kit.check_context import CheckContext, assert_fails_temporarily


def test_destroying_leaves_nothing(context: CheckContext) -> None:
    """Destroying returned, but a resource is still present."""
    names = context.new_names()
    context.create(names)

    context.destroy(names)

    assert context.present(names) == []


def test_a_half_created_resource_is_destroyed(context: CheckContext) -> None:
    """Destroying fails because of a half-created resource, or leaves it."""
    crashing, names = context.crashing(), context.new_names()
    with pytest.raises(Exception):  # noqa: B017, PT011  # each adapter has its own error
        crashing.create(names)

    context.destroy(names)

    assert context.present(names) == []


def test_an_unreachable_resource_does_not_count_as_destroyed(context: CheckContext) -> None:
    """Destroying returned or raised Refused while the infrastructure was unreachable, or did not work afterwards."""
    unreachable, names = context.unreachable(), context.new_names()
    context.create(names)

    assert_fails_temporarily(lambda: unreachable.destroy(names))

    assert context.present(names) == context.ledger_names(names)
    context.destroy(names)
    assert context.present(names) == []


def test_an_unreachable_resource_is_not_reported_as_absent(context: CheckContext) -> None:
    """present() returned a result while the infrastructure was unreachable."""
    unreachable = context.unreachable()

    assert_fails_temporarily(lambda: unreachable.present(context.new_names()))


def test_an_unreachable_infrastructure_is_not_a_refusal(context: CheckContext) -> None:
    """Creating did not raise, or raised Refused, which undoes the run, while the infrastructure was unreachable."""
    unreachable, names = context.unreachable(), context.new_names()

    assert_fails_temporarily(lambda: unreachable.create(names))

    context.create(names)
    assert context.present(names) == context.ledger_names(names)
