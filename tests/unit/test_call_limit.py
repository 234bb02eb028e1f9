"""An adapter never gets more concurrent calls than its limit, an undo always finds a slot, and no slot is lost."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest
from dramatiq.middleware import Interrupt

from adapters.guarded_calls import LimitedPort, interruptible_port, limit_calls
from provisioning.step_context import StepStopped, current_stop_token
from tests.builders import ManualStopToken
from tests.waiting import wait_until


class Busy:
    """A port with calls that block until they are released. It counts its concurrent calls."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.most = {"create": 0, "destroy": 0, "together": 0}
        self.calls = 0
        self._running = {"create": 0, "destroy": 0}
        self._lock = threading.Lock()

    def create(self) -> None:
        self._block("create")

    def destroy(self) -> None:
        self._block("destroy")

    def fail(self, error: BaseException) -> None:
        raise error

    def running(self, method: str) -> int:
        with self._lock:
            return self._running[method]

    def _block(self, method: str) -> None:
        with self._lock:
            self.calls += 1
            self._running[method] += 1
            self.most[method] = max(self.most[method], self._running[method])
            self.most["together"] = max(self.most["together"], sum(self._running.values()))
        self.release.wait(10)
        with self._lock:
            self._running[method] -= 1


@pytest.fixture
def busy() -> Iterator[Busy]:
    port = Busy()
    yield port
    port.release.set()


def limit_of(port: Any) -> Any:
    assert isinstance(port, LimitedPort)
    return port.limit


def performed(call: Callable[[], object], stop_token: ManualStopToken) -> object:
    """Make the call as a step does."""
    performing = current_stop_token.set(stop_token)
    try:
        return call()
    finally:
        current_stop_token.reset(performing)


@contextmanager
def threads(size: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(size) as pool:
        yield pool


@pytest.mark.parametrize(("calls", "forward"), [(2, 1), (3, 2), (4, 3), (8, 6), (16, 12), (256, 192)])
def test_a_quarter_of_the_slots_is_reserved_for_undoing(calls: int, forward: int) -> None:
    assert limit_of(limit_calls(object(), calls)).forward_calls == forward


def test_concurrent_calls_never_exceed_the_limit(busy: Busy) -> None:
    port = limit_calls(busy, 8)

    with threads(40) as pool:
        calls = [pool.submit(act) for _ in range(20) for act in (port.create, port.destroy)]
        wait_until(lambda: busy.running("create") + busy.running("destroy") == 8)
        busy.release.set()
        for call in calls:
            call.result(20)

    assert busy.calls == 40
    assert busy.most["together"] == 8
    assert busy.most["create"] <= 6


def test_an_undo_finds_a_slot_while_steps_use_all_of_theirs(busy: Busy) -> None:
    port = limit_calls(busy, 4)

    with threads(11) as pool:
        steps = [pool.submit(port.create) for _ in range(10)]
        wait_until(lambda: busy.running("create") == 3)
        undo = pool.submit(port.destroy)
        wait_until(lambda: busy.running("destroy") == 1)
        assert busy.most["create"] == 3
        busy.release.set()
        undo.result(10)
        for step in steps:
            step.result(20)


def test_undoing_may_use_every_slot(busy: Busy) -> None:
    port = limit_calls(busy, 4)

    with threads(10) as pool:
        undoes = [pool.submit(port.destroy) for _ in range(10)]
        wait_until(lambda: busy.running("destroy") == 4)
        busy.release.set()
        for undo in undoes:
            undo.result(20)

    assert busy.most == {"create": 0, "destroy": 4, "together": 4}


def test_a_stopped_step_leaves_the_queue_and_never_calls(busy: Busy) -> None:
    port, stop_token = limit_calls(busy, 2), ManualStopToken()

    with threads(2) as pool:
        first = pool.submit(port.create)
        wait_until(lambda: busy.running("create") == 1)
        waiting = pool.submit(performed, port.create, stop_token)
        stopped_at = time.monotonic()
        stop_token.stop()
        with pytest.raises(StepStopped):
            waiting.result(10)
        waited = time.monotonic() - stopped_at
        busy.release.set()
        first.result(10)

    assert waited < 1
    assert busy.calls == 1
    assert limit_of(port).in_use() == 0


@pytest.mark.parametrize("error", [ValueError("no"), Interrupt("stop"), KeyboardInterrupt()], ids=repr)
def test_a_call_that_raises_releases_its_slot(busy: Busy, error: BaseException) -> None:
    port = limit_calls(busy, 2)

    for _ in range(5):
        with pytest.raises(type(error)):
            port.fail(error)

    assert limit_of(port).in_use() == 0


def test_a_detached_call_keeps_its_slot_until_it_ends(busy: Busy) -> None:
    port, stop_token = limit_calls(interruptible_port(busy), 2), ManualStopToken()
    with threads(1) as pool:
        leaving = pool.submit(performed, port.create, stop_token)
        wait_until(lambda: busy.running("create") == 1)
        stop_token.stop()
        with pytest.raises(StepStopped):
            leaving.result(10)

    assert limit_of(port).in_use() == 1
    busy.release.set()
    wait_until(lambda: limit_of(port).in_use() == 0)


def test_an_interrupt_at_any_line_loses_no_slot() -> None:
    """Sends real interrupts, as Dramatiq does, at random lines."""

    class Quick:
        def create(self) -> None:
            """Return at once."""

    port, finished = limit_calls(Quick(), 4), threading.Event()
    # Its put is one step for an interrupt. A lock that an interrupt finds between two steps would stay locked.
    ready: SimpleQueue[None] = SimpleQueue()
    interrupts = 0

    def work() -> None:
        nonlocal interrupts
        while not finished.is_set():
            try:
                ready.put(None)  # only from here on an interrupt is caught
                while not finished.is_set():
                    port.create()
            except Interrupt:
                interrupts += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in range(300):
            ready.get(timeout=10)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupt))
        ready.get(timeout=10)
    finally:
        finished.set()
        thread.join(20)

    assert interrupts == 300
    assert limit_of(port).in_use() == 0
