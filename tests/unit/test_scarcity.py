"""Which errors of a step are scarcity: the step waits, and no attempt is counted."""

import errno
import os
from collections.abc import Callable
from datetime import timedelta

import httpx
import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from provisioning.ports import Refused, Scarce, TryAgain
from provisioning.scarcity import (
    LONGEST_RETRY_AFTER,
    SCARCE_ERRNOS,
    is_scarcity,
    retry_after,
)
from provisioning.step_endings import LONGEST_WAIT, SHORTEST_WAIT, wait_for_capacity

SCARCE: list[BaseException] = [
    Scarce("Too many requests."),
    PoolExhausted(),
    errors.TooManyConnections(),
    errors.OutOfMemory(),
    errors.DiskFull(),
    errors.LockNotAvailable(),
    errors.DeadlockDetected(),
    OperationalError("SELECT 1", None, psycopg.OperationalError("connection refused")),
    psycopg.OperationalError("connection failed: Connection refused"),
    errors.ReadOnlySqlTransaction(),
    errors.AdminShutdown(),
    MemoryError(),
    RuntimeError("can't start new thread"),
    *(OSError(number, os.strerror(number)) for number in sorted(SCARCE_ERRNOS)),
]
FAILURES: list[BaseException] = [
    TryAgain("502"),
    Refused("422"),
    ValueError("no"),
    RuntimeError("no"),
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    errors.InsufficientPrivilege(),
    errors.QueryCanceled(),
]


def wrapped(cause: BaseException, kinds: list[Callable[[], Exception]]) -> BaseException:
    """The error inside others, as libraries and adapters raise them."""
    error = cause
    for kind in kinds:
        outer = kind()
        outer.__cause__ = error
        error = outer
    return error


WRAPPERS = st.lists(
    st.sampled_from([lambda: TryAgain("An adapter did not answer."), lambda: httpx.ConnectError("failed")]), max_size=4
)


@given(cause=st.sampled_from(SCARCE), kinds=WRAPPERS)
def test_an_error_is_scarcity_if_its_cause_is(cause: BaseException, kinds: list[Callable[[], Exception]]) -> None:
    assert is_scarcity(wrapped(cause, kinds))


@given(cause=st.sampled_from(FAILURES), kinds=WRAPPERS)
def test_any_other_error_is_a_failure(cause: BaseException, kinds: list[Callable[[], Exception]]) -> None:
    assert not is_scarcity(wrapped(cause, kinds))


@given(seconds=st.integers(1, 10**6), kinds=WRAPPERS)
def test_the_wait_that_was_asked_for_is_found_and_bounded(seconds: int, kinds: list[Callable[[], Exception]]) -> None:
    error = wrapped(Scarce("429", retry_after=timedelta(seconds=seconds)), kinds)

    assert retry_after(error) == min(timedelta(seconds=seconds), LONGEST_RETRY_AFTER)


def test_an_error_in_a_circle_of_causes_is_examined_once() -> None:
    first, second = TryAgain("1"), TryAgain("2")
    first.__cause__, second.__cause__ = second, first

    assert not is_scarcity(first)


def test_the_waits_grow_up_to_the_longest() -> None:
    waited, waits = timedelta(0), []
    for _ in range(12):
        waits.append(wait_for_capacity(waited))
        waited += waits[-1]

    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (SHORTEST_WAIT, LONGEST_WAIT)
