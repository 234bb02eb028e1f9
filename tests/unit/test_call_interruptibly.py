"""A step that is stopped does not wait for an uninterruptible call."""

import threading
import time

import pytest

from adapters.guarded_calls import CallTimeout, call_interruptibly
from provisioning.step_context import StepStopped
from tests.builders import ManualStopToken


def test_the_result_of_the_call_is_returned() -> None:
    assert call_interruptibly(lambda: 7, ManualStopToken(), within=5) == 7


def test_the_error_of_the_call_is_raised() -> None:
    def fail() -> None:
        raise LookupError("not here")

    with pytest.raises(LookupError, match="not here"):
        call_interruptibly(fail, ManualStopToken(), within=5)


def test_a_stopped_step_makes_no_call() -> None:
    called, stop_token = threading.Event(), ManualStopToken()
    stop_token.stop()

    with pytest.raises(StepStopped):
        call_interruptibly(called.set, stop_token, within=5)

    assert not called.is_set()


def test_a_stop_ends_the_wait_at_once() -> None:
    release, stop_token = threading.Event(), ManualStopToken()
    began = time.monotonic()
    threading.Timer(0.1, stop_token.stop).start()

    with pytest.raises(StepStopped):
        call_interruptibly(release.wait, stop_token, within=30)

    assert time.monotonic() - began < 1
    release.set()


def test_a_call_that_takes_too_long_times_out() -> None:
    release = threading.Event()

    with pytest.raises(CallTimeout, match=r"^No response within 0\.1 s\.$"):
        call_interruptibly(release.wait, ManualStopToken(), within=0.1)

    release.set()
