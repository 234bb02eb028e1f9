"""A worker polls its steps that wait: on time, at once when a step has to stop, and not behind one that is slow."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from provisioning.step_context import StopReason, StopSignal
from tests.waiting import wait_until
from workers import kept_waits
from workers.kept_waits import KeptWait, KeptWaits

SOON, NEVER = timedelta(seconds=0.1), timedelta(hours=1)


class NoClaim:
    run_id = UUID(int=1)


def new_wait() -> KeptWait:
    claim: Any = NoClaim()
    journal: Any = None
    return KeptWait(claim, journal, StopSignal())


@contextmanager
def polling(poll: Callable[[KeptWait], timedelta | None], threads: int = 4) -> Iterator[KeptWaits]:
    made = KeptWaits("polls of a test", poll, threads)
    try:
        yield made
    finally:
        made.close(timeout=0)


def test_a_wait_is_polled_again_and_again_until_it_ends() -> None:
    answers = [SOON, SOON, None]
    times: list[float] = []

    def poll(_: KeptWait) -> timedelta | None:
        times.append(time.monotonic())
        return answers[len(times) - 1]

    with polling(poll) as made:
        began = time.monotonic()
        made.keep(new_wait(), SOON)
        wait_until(lambda: len(times) == len(answers) and not made._kept)

    for before, after in zip([began, *times], times, strict=False):
        assert after - before >= SOON.total_seconds()


@pytest.mark.parametrize("at", ["before it is kept", "while it is kept"])
def test_a_wait_that_has_to_stop_is_polled_at_once(at: str) -> None:
    polled: list[StopReason | None] = []
    wait = new_wait()

    def poll(wait: KeptWait) -> None:
        polled.append(wait.stop_signal.reason)

    with polling(poll) as made:
        if at == "before it is kept":
            wait.stop_signal.set(StopReason.CANCELLED)
        made.keep(wait, NEVER)
        made.keep(new_wait(), NEVER)
        wait.stop_signal.set(StopReason.CANCELLED)
        wait_until(lambda: bool(polled))
        wait.stop_signal.set(StopReason.TIMED_OUT)
        wait_until(lambda: len(made._kept) == 1)

    assert polled == [StopReason.CANCELLED]


def test_a_wait_that_has_to_stop_during_its_poll_is_polled_again_at_once() -> None:
    wait, polled = new_wait(), list[StopReason | None]()

    def poll(wait: KeptWait) -> timedelta | None:
        polled.append(wait.stop_signal.reason)
        if len(polled) > 1:
            return None
        wait.stop_signal.set(StopReason.CANCELLED)
        return NEVER

    with polling(poll) as made:
        made.keep(wait, SOON)
        wait_until(lambda: len(polled) == 2)

    assert polled == [None, StopReason.CANCELLED]


def test_a_slow_poll_does_not_delay_the_others() -> None:
    answered, others = threading.Event(), list[KeptWait]()
    slow = [new_wait() for _ in range(3)]

    def poll(wait: KeptWait) -> None:
        if wait in slow:
            assert answered.wait(20)
        else:
            others.append(wait)

    with polling(poll) as made:
        for wait in [*slow, *[new_wait() for _ in range(50)]]:
            made.keep(wait, SOON)
        wait_until(lambda: len(others) == 50)
        assert len(made._kept) == len(slow)
        answered.set()
        wait_until(lambda: not made._kept)
        assert made._threads <= 4


@pytest.mark.parametrize("place", ["due", "not due"])
def test_waits_that_have_to_stop_are_polled_while_all_threads_wait_for_slow_answers(place: str) -> None:
    answered, polled = threading.Event(), list[tuple[KeptWait, StopReason | None]]()
    slow, stopped, others = ([new_wait() for _ in range(number)] for number in (2, 20, 20))

    def poll(wait: KeptWait) -> None:
        if wait in slow:
            assert answered.wait(20)
        polled.append((wait, wait.stop_signal.reason))

    with polling(poll, threads=2) as made:
        for wait in slow:
            made.keep(wait, SOON)
        wait_until(lambda: made._polled == set(slow))
        for wait in [*others, *stopped]:
            made.keep(wait, NEVER if wait in stopped and place == "not due" else SOON)
        wait_until(lambda: len(made._due) == len(others) + (len(stopped) if place == "due" else 0))

        for wait in stopped:
            wait.stop_signal.set(StopReason.CANCELLED)
        wait_until(lambda: len(polled) == len(stopped))
        assert {wait for wait, reason in polled if reason is StopReason.CANCELLED} == set(stopped)

        answered.set()
        wait_until(lambda: not made._kept)
        assert made._threads == 2

    assert len(polled) == len({wait for wait, _ in polled}) == len([*slow, *stopped, *others])


def test_a_poll_that_ignores_its_stop_signal_takes_no_thread_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_waits, "HANGS_AFTER", 0.1)
    answered, others = threading.Event(), list[KeptWait]()
    hanging = new_wait()

    def poll(wait: KeptWait) -> None:
        if wait is hanging:
            assert answered.wait(20)
        else:
            others.append(wait)

    with polling(poll, threads=1) as made:
        made.keep(hanging, SOON)
        wait_until(lambda: hanging in made._polled)
        made.keep(new_wait(), SOON)
        hanging.stop_signal.set(StopReason.CANCELLED)
        wait_until(lambda: len(others) == 1)
        answered.set()


def test_all_threads_make_the_polls_of_a_burst_of_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """So they record together."""
    monkeypatch.setattr(kept_waits, "HELP_AFTER", 3600)
    waits, meeting = [new_wait() for _ in range(4)], threading.Barrier(4)

    def poll(_: KeptWait) -> None:
        meeting.wait(20)

    with polling(poll) as made:
        with made._lock:  # so that all of them are found together
            for wait in waits:
                made.keep(wait, NEVER)
                wait.stop_signal.set(StopReason.CANCELLED)
        wait_until(lambda: not made._kept, within=20)

    assert made._threads == len(waits)


def test_one_thread_makes_polls_that_are_quick() -> None:
    polled: list[KeptWait] = []
    with polling(polled.append, threads=1) as made:
        for _ in range(500):
            made.keep(new_wait(), SOON)
        wait_until(lambda: len(polled) == 500)

    assert len(set(map(id, polled))) == 500


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_an_error_of_a_poll_ends_only_its_wait(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    bad, polled = new_wait(), list[KeptWait]()

    def poll(wait: KeptWait) -> None:
        if wait is bad:
            raise error
        polled.append(wait)

    with polling(poll, threads=1) as made:
        made.keep(bad, SOON)
        made.keep(new_wait(), SOON * 2)
        wait_until(lambda: bool(polled) and not made._kept)

    assert "polling a step that waits failed" in caplog.text


def test_closing_waits_until_every_wait_has_ended() -> None:
    ended: list[KeptWait] = []
    made = KeptWaits("polls of a test", ended.append, 2)
    waits = [new_wait() for _ in range(20)]
    for wait in waits:
        made.keep(wait, NEVER)

    for wait in waits:
        wait.stop_signal.set(StopReason.SHUTTING_DOWN)
    made.close(timeout=20)

    assert len(ended) == len(waits)
    assert not made.has_room
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "polls of a test"])


def test_closing_takes_no_wake_up_from_the_thread_that_watches() -> None:
    answered = {new_wait(): threading.Event() for _ in range(4)}
    polled, ended = set[KeptWait](), set[KeptWait]()

    def poll(wait: KeptWait) -> timedelta | None:
        if wait in polled:
            ended.add(wait)
            return None
        polled.add(wait)
        assert answered[wait].wait(20)
        return NEVER

    with polling(poll) as made:
        for wait in answered:
            made.keep(wait, SOON)
        wait_until(lambda: polled == set(answered))
        for wait in answered:
            wait.stop_signal.set(StopReason.SHUTTING_DOWN)
        closing = threading.Thread(target=made.close, args=(3600,), daemon=True)
        closing.start()
        wait_until(lambda: made._all_ended._waiters)  # type: ignore[attr-defined]  # known to no stub

        for wait, event in answered.items():
            event.set()
            wait_until(partial(ended.__contains__, wait))
        closing.join(20)
        assert not closing.is_alive()


@pytest.fixture
def refused_starts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the next starts of a thread for polls are refused, one after the other. Later ones are not."""
    refused: list[bool] = []
    start = threading.Thread.start

    def start_if_not_refused(thread: threading.Thread) -> None:
        if thread.name == "polls of a test" and refused and refused.pop(0):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_not_refused)
    return refused


def test_a_thread_that_cannot_be_started_is_tried_again(
    refused_starts: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    refused_starts.extend([False, True, True, True])
    polled: list[KeptWait] = []

    with polling(polled.append, threads=1) as made:
        made.keep(new_wait(), SOON)
        wait_until(lambda: bool(polled))
        assert made._threads == 1

    assert [record.message for record in caplog.records] == ["no thread for polls of steps that wait could be started"]


def test_nothing_is_kept_while_no_thread_watches(refused_starts: list[bool]) -> None:
    refused_starts.append(True)
    polled: list[KeptWait] = []

    with polling(polled.append, threads=1) as made:
        with pytest.raises(RuntimeError):
            made.keep(new_wait(), SOON)
        assert not made._kept
        made.keep(new_wait(), SOON)
        wait_until(lambda: len(polled) == 1)


def test_waits_beyond_the_limit_find_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_waits, "MAX_KEPT", 1)
    with polling(lambda _: None) as made:
        assert made.has_room
        made.keep(new_wait(), NEVER)
        assert not made.has_room
