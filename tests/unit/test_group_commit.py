"""Threads that work at the same time share statements, and none waits for a thread that was lost."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from provisioning.engine import Change, Decided
from tests.waiting import wait_until
from workers import group_commit
from workers.group_commit import MOST, GroupCommit


def change(run: int) -> Change:
    return Change(UUID(int=run), lambda _: None)


def decided(change: Change) -> Decided:
    """A decision by which the change is known."""
    return Decided(None, float(change.run_id.int))


class Writer:
    """Applies groups. The first group waits until it is let go."""

    def __init__(self, first_error: BaseException | None = None) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self._first_error = first_error

    def __call__(self, group: Sequence[Change]) -> Sequence[Decided | None]:
        self.groups.append([one.run_id.int for one in group])
        if len(self.groups) == 1:
            assert self.go.wait(10)
            if self._first_error is not None:
                raise self._first_error
        return [decided(one) for one in group]


def waiting(commit: GroupCommit) -> int:
    return len(commit._waiting)


def one_that_writes_and_one_that_waits(
    pool: ThreadPoolExecutor, commit: GroupCommit, writer: Writer
) -> list[Future[Decided | None]]:
    """Two threads. The first is let go once the second waits for it."""
    first = pool.submit(commit, change(1))
    wait_until(lambda: writer.groups)
    second = pool.submit(commit, change(2))
    wait_until(lambda: waiting(commit) == 1)
    writer.go.set()
    return [first, second]


def run_of(result: Decided | None) -> int | None:
    return int(result.at) if result is not None else None


def test_a_thread_alone_writes_at_once_and_alone() -> None:
    writer = Writer()
    writer.go.set()
    commit = GroupCommit(writer)

    assert [run_of(commit(change(number))) for number in (1, 2)] == [1, 2]
    assert writer.groups == [[1], [2]]


def test_threads_that_come_during_a_write_share_the_next_one() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(commit, change(1))
        wait_until(lambda: writer.groups)
        others = [pool.submit(commit, change(number)) for number in range(2, 7)]
        wait_until(lambda: waiting(commit) == 5)
        writer.go.set()

        assert run_of(first.result(10)) == 1
        assert [run_of(one.result(10)) for one in others] == [2, 3, 4, 5, 6]
    assert writer.groups[0] == [1]
    assert sorted(writer.groups[1]) == [2, 3, 4, 5, 6]
    assert len(writer.groups) == 2


def commit_three_together(pool: ThreadPoolExecutor, commit: GroupCommit, writer: Writer) -> None:
    """A group of one, and then one of three."""
    first = pool.submit(commit, change(1))
    wait_until(lambda: writer.groups)
    others = [pool.submit(commit, change(number)) for number in (2, 3, 4)]
    wait_until(lambda: waiting(commit) == 3)
    writer.go.set()
    assert all(one.result(10) is not None for one in (first, *others))


def test_a_group_waits_for_as_many_threads_as_the_one_before_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "GATHERING", 10)
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(4) as pool:
        commit_three_together(pool, commit, writer)

        others = [pool.submit(commit, change(number)) for number in (5, 6, 7)]

        assert [run_of(one.result(5)) for one in others] == [5, 6, 7]
    assert [len(group) for group in writer.groups] == [1, 3, 3]


def test_a_group_waits_for_a_moment_and_the_next_one_for_no_more_threads_than_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "GATHERING", 0.05)
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(4) as pool:
        commit_three_together(pool, commit, writer)

    assert run_of(commit(change(5))) == 5
    monkeypatch.setattr(group_commit, "GATHERING", 60)
    assert run_of(commit(change(6))) == 6
    assert [len(group) for group in writer.groups] == [1, 3, 1, 1]


def test_two_changes_of_one_run_are_in_different_groups() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(commit, change(1))
        wait_until(lambda: writer.groups)
        same = [pool.submit(commit, change(2)) for _ in range(3)]
        wait_until(lambda: waiting(commit) == 3)
        writer.go.set()

        assert [run_of(one.result(10)) for one in same] == [2, 2, 2]
    assert writer.groups == [[1], [2], [2], [2]]


def test_a_group_has_a_limit() -> None:
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(MOST + 6) as pool:
        pool.submit(commit, change(1))
        wait_until(lambda: writer.groups)
        others = [pool.submit(commit, change(number)) for number in range(2, MOST + 7)]
        wait_until(lambda: waiting(commit) == MOST + 5)
        writer.go.set()

        assert all(one.result(10) is not None for one in others)
    assert [len(group) for group in writer.groups] == [1, MOST, 5]


@pytest.mark.parametrize("error", [OperationalError("", {}, Exception("gone")), AssertionError("of another run")])
def test_after_an_error_each_thread_of_the_group_applies_its_own(error: Exception) -> None:
    writer = Writer(error)
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(2) as pool:
        first, second = one_that_writes_and_one_that_waits(pool, commit, writer)

        assert first.result(10) is None
        assert run_of(second.result(10)) == 2


def test_an_interrupt_of_the_thread_that_writes_ends_no_other_one() -> None:
    class Interrupted(BaseException):
        """As Dramatiq raises into a thread."""

    writer = Writer(Interrupted())
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(2) as pool:
        first, second = one_that_writes_and_one_that_waits(pool, commit, writer)

        with pytest.raises(Interrupted):
            first.result(10)
        assert run_of(second.result(10)) == 2
    assert run_of(commit(change(3))) == 3


def test_a_thread_does_not_wait_for_ever_for_one_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LONGEST_WAIT", 0.05)
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(2) as pool:
        lost = pool.submit(commit, change(1))
        wait_until(lambda: writer.groups)

        assert pool.submit(commit, change(2)).result(10) is None
        assert run_of(pool.submit(commit, change(3)).result(10)) == 3
        writer.go.set()
        assert run_of(lost.result(10)) == 1


def test_many_threads_lose_no_change() -> None:
    written: list[int] = []

    def write(group: Sequence[Change]) -> Sequence[Decided | None]:
        written.extend(one.run_id.int for one in group)
        return [decided(one) for one in group]

    commit = GroupCommit(write)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda number: run_of(commit(change(number))), range(2000)))

    assert results == list(range(2000))
    assert sorted(written) == list(range(2000))


def test_a_thread_that_gave_up_leaves_the_next_one_to_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the lost thread returns after all, and hands over once more."""
    monkeypatch.setattr(group_commit, "LONGEST_WAIT", 0.2)
    writer = Writer()
    commit = GroupCommit(writer)
    with ThreadPoolExecutor(8) as pool:
        lost = pool.submit(commit, change(1))
        wait_until(lambda: writer.groups)
        others = [pool.submit(commit, change(number)) for number in range(2, 8)]

        results = [run_of(one.result(10)) for one in others]
        writer.go.set()

        assert run_of(lost.result(10)) == 1
        assert all(result in {None, number} for number, result in enumerate(results, start=2))
        assert None in results
        assert run_of(commit(change(9))) == 9
    assert waiting(commit) == 0
    assert not commit._busy


def test_a_thread_that_died_with_its_turn_to_lead_delays_the_others_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a second interrupt can leave it: in the list, told to lead, and gone."""
    monkeypatch.setattr(group_commit, "LONGEST_WAIT", 0.05)
    writer = Writer()
    writer.go.set()
    commit = GroupCommit(writer)
    dead = group_commit._Waiting(change(1))
    dead.leads, commit._busy = True, True
    commit._waiting.append(dead)

    assert commit(change(2)) is None
    assert run_of(commit(change(3))) == 3
    assert waiting(commit) == 0
