"""Which of Postgres's errors may go well in a moment."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from runtime.database import is_busy, is_transient, is_unavailable


def raised(cause: psycopg.Error, kind: type[DBAPIError] = OperationalError) -> DBAPIError:
    return kind("SELECT 1", None, cause)


@pytest.mark.parametrize(
    "error",
    [
        raised(psycopg.OperationalError("connection refused")),
        raised(errors.AdminShutdown()),
        raised(errors.CannotConnectNow()),
        raised(errors.ReadOnlySqlTransaction(), DBAPIError),
    ],
)
def test_a_server_that_is_gone_or_takes_no_writes_is_away(error: BaseException) -> None:
    assert (is_unavailable(error), is_busy(error), is_transient(error)) == (True, False, True)


@pytest.mark.parametrize(
    "error",
    [
        PoolExhausted(),
        raised(errors.DeadlockDetected()),
        raised(errors.LockNotAvailable()),
        raised(errors.QueryCanceled()),
        raised(errors.TooManyConnections()),
        raised(errors.DiskFull()),
    ],
)
def test_whatever_others_are_the_reason_for_is_busy(error: BaseException) -> None:
    assert (is_unavailable(error), is_busy(error), is_transient(error)) == (False, True, True)


@pytest.mark.parametrize("error", [raised(errors.SyntaxError(), ProgrammingError), ValueError("ours"), None])
def test_a_mistake_of_ours_is_neither(error: BaseException | None) -> None:
    assert not is_transient(error)
