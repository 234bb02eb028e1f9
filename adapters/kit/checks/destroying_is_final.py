"""Once a name was destroyed, creating it again is refused, also when the creation had set out before."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from adapters.kit.case import Case
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames


def test_what_was_destroyed_is_not_created_again(case: Case) -> None:
    """A worker that wakes up after minutes makes its call at last, and leaves something behind for ever."""
    names = case.fresh()
    case.create(names)
    case.destroy(names)

    with pytest.raises(Refused):
        case.create(names)

    assert case.present(names) == []


def test_what_was_destroyed_before_it_came_is_refused_when_it_comes(case: Case) -> None:
    """The undo overtook the creation. It has to leave a tombstone also for a name that it never met."""
    names = case.fresh()
    case.destroy(names)

    with pytest.raises(Refused):
        case.create(names)

    assert case.present(names) == []


def test_another_worker_is_refused_too(case: Case) -> None:
    """The tombstone is kept in the memory of one process, and the late call comes from another."""
    names, other = case.fresh(), case.another()
    case.create(names)
    case.destroy(names)

    with pytest.raises(Refused):
        other.create(names)

    assert case.present(names) == []


def test_creating_and_destroying_at_once_ends_with_nothing(case: Case) -> None:
    """Between its look for a tombstone and its creation, somebody else destroys: the two need a lock or one write."""
    other = case.another()
    for _ in range(case.subject.rounds):
        names, start = case.fresh(), threading.Barrier(3)

        def race(
            act: Callable[[ResourceNames], None], it: ResourceNames = names, at: threading.Barrier = start
        ) -> None:
            at.wait(10)
            with suppress(Refused):
                act(it)

        with ThreadPoolExecutor(3) as pool:
            for finished in [pool.submit(race, act) for act in (case.create, case.destroy, other.create)]:
                finished.result(case.subject.within)

        assert case.present(names) == []
