"""Destroying returns after everything was confirmed absent. An outside that cannot be reached raises."""

import pytest

from adapters.kit.case import Case, fails_for_now


def test_destroying_leaves_nothing(case: Case) -> None:
    """It said that everything is gone, and something is there."""
    names = case.fresh()
    case.create(names)

    case.destroy(names)

    assert case.present(names) == []


def test_what_a_crash_left_half_made_is_destroyed(case: Case) -> None:
    """Destroying trips over what is half there, or leaves it."""
    crashing, names = case.crashing(), case.fresh()
    with pytest.raises(Exception):  # noqa: B017, PT011  # the author's own
        crashing.create(names)

    case.destroy(names)

    assert case.present(names) == []


def test_what_cannot_be_reached_is_not_gone(case: Case) -> None:
    """Destroying what cannot be reached returns, or is refused for good; it has to raise, and to work later."""
    unreachable, names = case.unreachable(), case.fresh()
    case.create(names)

    fails_for_now(lambda: unreachable.destroy(names))

    assert case.present(names) == case.names(names)
    case.destroy(names)
    assert case.present(names) == []


def test_what_cannot_be_reached_is_not_said_to_be_absent(case: Case) -> None:
    """present() answers for an outside that it did not ask."""
    unreachable = case.unreachable()

    fails_for_now(lambda: unreachable.present(case.fresh()))


def test_what_cannot_be_reached_is_not_refused_for_good(case: Case) -> None:
    """Creating raises Refused, or nothing, while the outside is away. Refused turns the run back at the first try."""
    unreachable, names = case.unreachable(), case.fresh()

    fails_for_now(lambda: unreachable.create(names))

    case.create(names)
    assert case.present(names) == case.names(names)
