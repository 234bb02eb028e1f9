"""A call that cannot be interrupted never keeps anybody waiting who was told to stop."""

import threading
import time

import pytest

from adapters.guarded_calls import CallTimeout, call_interruptibly
from provisioning.step_context import StepStopped
from tests.builders import ManualStopToken


def test_what_the_call_returns_comes_back() -> None:
    assert call_interruptibly(lambda: 7, ManualStopToken(), within=5) == 7


def test_what_the_call_raises_comes_back() -> None:
    def fail() -> None:
        raise LookupError("not here")

    with pytest.raises(LookupError, match="not here"):
        call_interruptibly(fail, ManualStopToken(), within=5)


def test_nothing_is_called_once_it_was_told_to_stop() -> None:
    called, stop_token = threading.Event(), ManualStopToken()
    stop_token.stop()

    with pytest.raises(StepStopped):
        call_interruptibly(called.set, stop_token, within=5)

    assert not called.is_set()


def test_being_told_to_stop_ends_the_wait_at_once() -> None:
    let_go, stop_token = threading.Event(), ManualStopToken()
    began = time.monotonic()
    threading.Timer(0.1, stop_token.stop).start()

    with pytest.raises(StepStopped):
        call_interruptibly(let_go.wait, stop_token, within=30)

    assert time.monotonic() - began < 1
    let_go.set()


def test_a_call_that_takes_too_long_is_given_up() -> None:
    let_go = threading.Event()

    with pytest.raises(CallTimeout, match=r"^No answer within 0\.1 s\.$"):
        call_interruptibly(let_go.wait, ManualStopToken(), within=0.1)

    let_go.set()
