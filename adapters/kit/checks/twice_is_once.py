"""Creating what exists, and destroying what does not, succeeds, whoever did it before."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.kit.case import Case


def test_nothing_is_present_before_it_is_created(case: Case) -> None:
    """present() finds something of a run that never took anything, so no undo would ever be believed."""
    assert case.present(case.fresh()) == []


def test_present_names_exactly_what_the_ledger_names(case: Case) -> None:
    """present() says more, less or other than the ledger, so what is left behind cannot be told from what is not."""
    names = case.fresh()

    case.create(names)

    assert case.present(names) == case.names(names)


def test_creating_twice_is_creating_once(case: Case) -> None:
    """A step is tried again after every failure and every death of its worker: the second try must find its own."""
    names = case.fresh()

    case.create(names)
    case.create(names)

    assert case.present(names) == case.names(names)


def test_creating_many_at_once_is_creating_once(case: Case) -> None:
    """A worker that was paused and the one that took its place may create at the same moment; none may fail."""
    names = case.fresh()

    with ThreadPoolExecutor(4) as pool:
        for finished in [pool.submit(case.create, names) for _ in range(4)]:
            finished.result(case.subject.within)

    assert case.present(names) == case.names(names)


def test_another_worker_finds_repeats_and_removes_it(case: Case) -> None:
    """What exists is remembered in the adapter and not asked outside, so a second worker process is blind to it."""
    names, other = case.fresh(), case.another()
    case.create(names)

    found = other.present(names)
    other.create(names)
    other.destroy(names)

    assert found == case.names(names)
    assert case.present(names) == []


def test_a_creation_that_died_half_way_is_completed_by_another(case: Case) -> None:
    """Half of it is there, and creating takes that for all or trips over it."""
    crashing, names = case.crashing(), case.fresh()
    with pytest.raises(Exception):  # noqa: B017, PT011  # the author's own
        crashing.create(names)

    case.create(names)

    assert case.present(names) == case.names(names)


def test_destroying_twice_is_destroying_once(case: Case) -> None:
    """An undo is repeated when its outcome was lost: confirmed absent is success."""
    names = case.fresh()
    case.create(names)

    case.destroy(names)
    case.destroy(names)

    assert case.present(names) == []


def test_destroying_what_never_was_succeeds(case: Case) -> None:
    """A step may be cancelled before its first call arrived. Its undo runs all the same, and must not get stuck."""
    names = case.fresh()

    case.destroy(names)

    assert case.present(names) == []
