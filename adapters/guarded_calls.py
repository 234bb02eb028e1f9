"""Guards for calls of adapters: concurrency limit, timeout, interruption by a stop."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import ContextVar
from typing import TypeVar, cast

from provisioning.ports import StopToken, TryAgain
from provisioning.step_context import current_stop_token

LONGEST_CALL = 30.0
"""Seconds. A call of a built-in adapter never takes as long while the infrastructure works."""

POLL_EVERY = 0.05
"""Seconds between two polls for a free slot, or for the outcome of a call."""

UNDO_METHODS = frozenset({"destroy", "release", "tear_down"})
"""The methods of ports that undo something."""

T = TypeVar("T")


class CallTimeout(TryAgain):
    """The call did not return in time. It may still take effect."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"No response within {seconds:g} s.")


class NeverStops:
    """The stop token of a call outside any step: only a timeout ends the call."""

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        time.sleep(seconds)

    def checkpoint(self) -> None:
        """Return: the call is never stopped."""


NEVER_STOPS = NeverStops()


def limit_calls(port: T, calls: int) -> T:
    """Return the same port, of which this process makes at most ``calls`` calls at once.

    Waiting for a slot is a safe point of the step.
    """
    return cast("T", LimitedPort(port, CallLimit(calls)))


def interruptible_port(port: T) -> T:
    """Return the same port, with calls that end as soon as their step is stopped.

    Only for ports that never create a name again once it was destroyed, because a detached call goes on by itself.
    """
    return cast("T", InterruptiblePort(port))


def call_for_this_step(call: Callable[[], T]) -> T:
    """Return what ``call`` returns. Raises StepStopped as soon as the step of this thread is stopped."""
    stop_token = current_stop_token.get()
    return call_interruptibly(call, stop_token, within=LONGEST_CALL) if stop_token else call()


def call_interruptibly(call: Callable[[], T], stop_token: StopToken, *, within: float) -> T:
    """Return what ``call`` returns. Raises StepStopped when the step is stopped, CallTimeout after ``within`` s.

    In both cases the call goes on by itself, as a detached call: use this only where a late effect is refused or
    undone.
    """
    stop_token.checkpoint()
    outcome = start_call(call)
    deadline = time.monotonic() + within
    while not wait([outcome], POLL_EVERY).done:
        stop_token.checkpoint()
        if time.monotonic() > deadline:
            raise CallTimeout(within)
    return outcome.result()


def start_call(call: Callable[[], T]) -> Future[T]:
    """Start ``call`` in a thread of its own and return its future result."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  # handed over whole to the thread that waits for the outcome
            outcome.set_exception(error)

    # A daemon: a hanging call must not keep the process from ending.
    thread = threading.Thread(target=run, name="interruptible-call", daemon=True)
    if slot := current_slot.get():
        slot.hold_until_exit(thread)
    thread.start()
    return outcome


class InterruptiblePort:
    """Wraps one port and passes every method on."""

    def __init__(self, port: object) -> None:
        self._port = port

    def __getattr__(self, method: str) -> Callable[..., object]:
        original: Callable[..., object] = getattr(self._port, method)
        return lambda *args: call_for_this_step(lambda: original(*args))


class LimitedPort:
    """Wraps one port and passes every method on, once a slot is free."""

    def __init__(self, port: object, limit: "CallLimit") -> None:
        self.port = port
        self.limit = limit

    def __getattr__(self, method: str) -> Callable[..., object]:
        original: Callable[..., object] = getattr(self.port, method)
        return lambda *args: self._call(original, Slot(undoes=method in UNDO_METHODS), args)

    def _call(self, original: Callable[..., object], slot: "Slot", args: tuple[object, ...]) -> object:
        try:
            self.limit.acquire(slot, current_stop_token.get() or NEVER_STOPS)
            current_slot.set(slot)
            return original(*args)
        finally:
            # Keep this assignment first: Dramatiq raises its interrupts at calls, so none can arrive before it.
            slot.in_use = False
            current_slot.set(None)


class Slot:
    """The slot of one call: taken while the call is in use, and while a detached call works."""

    def __init__(self, *, undoes: bool) -> None:
        self.undoes = undoes
        self.in_use = True
        self._threads: list[threading.Thread] = []

    def hold_until_exit(self, thread: threading.Thread) -> None:
        """Keep the slot taken until this thread has ended, too."""
        self._threads.append(thread)

    @property
    def taken(self) -> bool:
        """Whether a call still uses this slot."""
        return self.in_use or any(thread.is_alive() for thread in self._threads)


class CallLimit:
    """At most ``calls`` calls at once. A quarter of the slots, at least one, is never given to forward calls.

    So an undo finds a slot however many steps wait for a slow adapter, and forward calls leave room for
    more than one undo: worker processes have about twice as many threads for steps as for compensations.
    """

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.forward_calls = calls - max(1, calls // 4)
        self._lock = threading.Lock()
        self._slots: list[Slot] = []

    def acquire(self, slot: Slot, stop_token: StopToken) -> None:
        """Wait until the slot can be taken. Raises StepStopped when the step is stopped while it waits."""
        while not self._try_acquire(slot):
            stop_token.sleep(POLL_EVERY)

    def in_use(self) -> int:
        """How many calls use a slot now."""
        with self._lock:
            return sum(slot.taken for slot in self._slots)

    def _try_acquire(self, slot: Slot) -> bool:
        with self._lock:
            self._slots = [other for other in self._slots if other.taken]
            forward = sum(not other.undoes for other in self._slots)
            if len(self._slots) >= self.calls or (not slot.undoes and forward >= self.forward_calls):
                return False
            self._slots.append(slot)
            return True


current_slot: ContextVar[Slot | None] = ContextVar("current_slot", default=None)
"""The slot of the call that this thread makes, so that a call in another thread can extend it."""
