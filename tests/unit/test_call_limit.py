"""An adapter never gets more calls at once than it may, undoing is never crowded out, and no place is lost."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from dramatiq.middleware import Interrupt

from adapters.guarded_calls import LimitedPort, interruptible_port, limit_calls
from provisioning.step_context import StepStopped, current_stop_token
from tests.builders import ManualStopToken
from tests.waiting import wait_until


class Busy:
    """A port whose calls stay until they are let go, and that counts who is inside."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.most = {"create": 0, "destroy": 0, "together": 0}
        self.calls = 0
        self._inside = {"create": 0, "destroy": 0}
        self._lock = threading.Lock()

    def create(self) -> None:
        self._stay("create")

    def destroy(self) -> None:
        self._stay("destroy")

    def fail(self, error: BaseException) -> None:
        raise error

    def inside(self, method: str) -> int:
        with self._lock:
            return self._inside[method]

    def _stay(self, method: str) -> None:
        with self._lock:
            self.calls += 1
            self._inside[method] += 1
            self.most[method] = max(self.most[method], self._inside[method])
            self.most["together"] = max(self.most["together"], sum(self._inside.values()))
        self.let_go.wait(10)
        with self._lock:
            self._inside[method] -= 1


@pytest.fixture
def busy() -> Iterator[Busy]:
    port = Busy()
    yield port
    port.let_go.set()


def cap_of(port: Any) -> Any:
    assert isinstance(port, LimitedPort)
    return port.limit


def performed(call: Callable[[], object], stop_token: ManualStopToken) -> object:
    """Call it as a step does."""
    performing = current_stop_token.set(stop_token)
    try:
        return call()
    finally:
        current_stop_token.reset(performing)


@contextmanager
def crowd(size: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(size) as pool:
        yield pool


@pytest.mark.parametrize(("calls", "forward"), [(2, 1), (3, 2), (4, 3), (8, 6), (16, 12), (256, 192)])
def test_a_quarter_of_the_places_is_for_undoing_only(calls: int, forward: int) -> None:
    assert cap_of(limit_calls(object(), calls)).forward_calls == forward


def test_however_many_come_no_more_than_the_cap_are_inside(busy: Busy) -> None:
    port = limit_calls(busy, 8)

    with crowd(40) as pool:
        storm = [pool.submit(act) for _ in range(20) for act in (port.create, port.destroy)]
        wait_until(lambda: busy.inside("create") + busy.inside("destroy") == 8)
        busy.let_go.set()
        for call in storm:
            call.result(20)

    assert busy.calls == 40
    assert busy.most["together"] == 8
    assert busy.most["create"] <= 6


def test_undoing_gets_in_while_steps_fill_their_places(busy: Busy) -> None:
    port = limit_calls(busy, 4)

    with crowd(11) as pool:
        steps = [pool.submit(port.create) for _ in range(10)]
        wait_until(lambda: busy.inside("create") == 3)
        undo = pool.submit(port.destroy)
        wait_until(lambda: busy.inside("destroy") == 1)
        assert busy.most["create"] == 3
        busy.let_go.set()
        undo.result(10)
        for step in steps:
            step.result(20)


def test_undoing_may_use_every_place(busy: Busy) -> None:
    port = limit_calls(busy, 4)

    with crowd(10) as pool:
        undoes = [pool.submit(port.destroy) for _ in range(10)]
        wait_until(lambda: busy.inside("destroy") == 4)
        busy.let_go.set()
        for undo in undoes:
            undo.result(20)

    assert busy.most == {"create": 0, "destroy": 4, "together": 4}


def test_a_step_that_is_told_to_stop_leaves_the_queue_and_never_calls(busy: Busy) -> None:
    port, stop_token = limit_calls(busy, 2), ManualStopToken()

    with crowd(2) as pool:
        first = pool.submit(port.create)
        wait_until(lambda: busy.inside("create") == 1)
        waiting = pool.submit(performed, port.create, stop_token)
        told = time.monotonic()
        stop_token.stop()
        with pytest.raises(StepStopped):
            waiting.result(10)
        waited = time.monotonic() - told
        busy.let_go.set()
        first.result(10)

    assert waited < 1
    assert busy.calls == 1
    assert cap_of(port).in_use() == 0


@pytest.mark.parametrize("error", [ValueError("no"), Interrupt("stop"), KeyboardInterrupt()], ids=repr)
def test_whatever_a_call_raises_it_gives_its_place_back(busy: Busy, error: BaseException) -> None:
    port = limit_calls(busy, 2)

    for _ in range(5):
        with pytest.raises(type(error)):
            port.fail(error)

    assert cap_of(port).in_use() == 0


def test_a_call_that_was_left_keeps_its_place_until_it_ends(busy: Busy) -> None:
    port, stop_token = limit_calls(interruptible_port(busy), 2), ManualStopToken()
    with crowd(1) as pool:
        leaving = pool.submit(performed, port.create, stop_token)
        wait_until(lambda: busy.inside("create") == 1)
        stop_token.stop()
        with pytest.raises(StepStopped):
            leaving.result(10)

    assert cap_of(port).in_use() == 1
    busy.let_go.set()
    wait_until(lambda: cap_of(port).in_use() == 0)


def test_an_interrupt_that_lands_anywhere_costs_no_place() -> None:
    """Real ones, as Dramatiq sends them, at moments that nobody chose."""

    class Quick:
        def create(self) -> None:
            """Return at once."""

    port, struck, finished = limit_calls(Quick(), 4), threading.Event(), threading.Event()
    strikes = 0

    def work() -> None:
        nonlocal strikes
        while not finished.is_set():
            with suppress(Interrupt):
                try:
                    for _ in range(100_000):
                        port.create()
                except Interrupt:
                    strikes += 1
                    struck.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in range(300):
            struck.clear()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupt))
            assert struck.wait(10)
    finally:
        finished.set()
        thread.join(20)

    assert strikes == 300
    assert cap_of(port).in_use() == 0
