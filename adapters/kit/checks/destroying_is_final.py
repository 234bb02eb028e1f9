"""Once a name was destroyed, creating it is refused, also when the creation began earlier."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from adapters.kit.check_context import CheckContext
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames


def test_a_destroyed_name_is_not_created_again(context: CheckContext) -> None:
    """There is no tombstone: a worker that continues after minutes leaves a resource behind for ever."""
    names = context.new_names()
    context.create(names)
    context.destroy(names)

    with pytest.raises(Refused):
        context.create(names)

    assert context.present(names) == []


def test_a_creation_after_its_destruction_is_refused(context: CheckContext) -> None:
    """A tombstone is only written for an existing resource, but an undo may arrive before the creation."""
    names = context.new_names()
    context.destroy(names)

    with pytest.raises(Refused):
        context.create(names)

    assert context.present(names) == []


def test_another_worker_refuses_a_destroyed_name(context: CheckContext) -> None:
    """The tombstone is in the memory of one process, and the late call comes from another."""
    names, other = context.new_names(), context.another_worker()
    context.create(names)
    context.destroy(names)

    with pytest.raises(Refused):
        other.create(names)

    assert context.present(names) == []


def test_concurrent_creations_and_destruction_leave_nothing(context: CheckContext) -> None:
    """The check for the tombstone and the creation are not atomic: they need a lock or a single write."""
    other = context.another_worker()
    for _ in range(context.subject.rounds):
        names, start = context.new_names(), threading.Barrier(3)

        def race(
            act: Callable[[ResourceNames], None], it: ResourceNames = names, at: threading.Barrier = start
        ) -> None:
            at.wait(10)
            with suppress(Refused):
                act(it)

        with ThreadPoolExecutor(3) as pool:
            for finished in [pool.submit(race, act) for act in (context.create, context.destroy, other.create)]:
                finished.result(context.subject.within)

        assert context.present(names) == []
