"""Which errors of Postgres are transient."""

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
def test_a_server_that_is_gone_or_read_only_is_unavailable(error: BaseException) -> None:
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
def test_a_failure_caused_by_other_work_means_a_busy_server(error: BaseException) -> None:
    assert (is_unavailable(error), is_busy(error), is_transient(error)) == (False, True, True)


@pytest.mark.parametrize("error", [raised(errors.SyntaxError(), ProgrammingError), ValueError("ours"), None])
def test_a_programming_error_is_not_transient(error: BaseException | None) -> None:
    assert not is_transient(error)
