"""Creating a resource that exists succeeds in every worker; destroying a missing one succeeds too."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.kit.check_context import CheckContext


def test_nothing_is_present_before_it_is_created(context: CheckContext) -> None:
    """present() finds a resource of a run that created nothing, so no undo would ever be confirmed."""
    assert context.present(context.new_names()) == []


def test_present_names_exactly_what_the_ledger_names(context: CheckContext) -> None:
    """present() returns more, fewer or other names than the ledger, so leftovers cannot be identified."""
    names = context.new_names()

    context.create(names)

    assert context.present(names) == context.ledger_names(names)


def test_creating_twice_is_creating_once(context: CheckContext) -> None:
    """A second attempt, after a failure or the death of a worker, fails because of what the first one created."""
    names = context.new_names()

    context.create(names)
    context.create(names)

    assert context.present(names) == context.ledger_names(names)


def test_concurrent_creations_create_once(context: CheckContext) -> None:
    """A paused worker and its replacement create at the same moment, and one of them fails."""
    names = context.new_names()

    with ThreadPoolExecutor(4) as pool:
        for finished in [pool.submit(context.create, names) for _ in range(4)]:
            finished.result(context.subject.within)

    assert context.present(names) == context.ledger_names(names)


def test_another_worker_finds_and_destroys_a_resource(context: CheckContext) -> None:
    """The adapter remembers what exists instead of probing it, so a second worker process does not find it."""
    names, other = context.new_names(), context.another_worker()
    context.create(names)

    found = other.present(names)
    other.create(names)
    other.destroy(names)

    assert found == context.ledger_names(names)
    assert context.present(names) == []


def test_another_worker_completes_a_half_finished_creation(context: CheckContext) -> None:
    """A half-created resource is taken for complete, or makes creating fail."""
    crashing, names = context.crashing(), context.new_names()
    with pytest.raises(Exception):  # noqa: B017, PT011  # each adapter has its own error
        crashing.create(names)

    context.create(names)

    assert context.present(names) == context.ledger_names(names)


def test_destroying_twice_is_destroying_once(context: CheckContext) -> None:
    """An undo is repeated because its outcome was lost, and fails: confirmed absent is success."""
    names = context.new_names()
    context.create(names)

    context.destroy(names)
    context.destroy(names)

    assert context.present(names) == []


def test_destroying_what_was_never_created_succeeds(context: CheckContext) -> None:
    """The undo of a step that was cancelled before its first call fails, and the run gets stuck."""
    names = context.new_names()

    context.destroy(names)

    assert context.present(names) == []
