"""Scarcity: a step that could not get a connection, a lock or a turn has not failed. It waits and tries again."""

import errno
from collections.abc import Iterator
from datetime import timedelta

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from provisioning.ports import Scarce, TryAgain
from runtime.connections import UnsupportedEncoding
from runtime.database import is_transient, is_unavailable, sqlstate

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""The longest wait that an external system may ask for."""

SCARCE_SQLSTATES = ("53", "55P03", "40001", "40P01")
"""Prefixes of the SQLSTATEs of scarcity: out of connections, memory or disk space; a lock that was not free; a
transaction that was aborted in favour of another."""

SCARCE_ERRNOS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EADDRNOTAVAIL, errno.ENOSPC}
)
"""Out of files, memory, buffers, ports or disk space on the machine of the worker."""

MAX_CAUSES = 10


def is_scarcity(error: BaseException) -> bool:
    """Whether the error, or one that caused it, says that something was not free at the moment."""
    return any(_is_scarce(cause) for cause in _causes(error))


def retry_after(error: BaseException) -> timedelta | None:
    """How long an external system has asked to wait, if it has."""
    asked = [cause.retry_after for cause in _causes(error) if isinstance(cause, TryAgain) and cause.retry_after]
    return min(asked[0], LONGEST_RETRY_AFTER) if asked else None


def _is_scarce(error: BaseException) -> bool:
    match error:
        case Scarce() | MemoryError():
            return True
        case SQLAlchemyError():  # the product's own database
            return is_transient(error)
        case psycopg.Error():
            return _is_scarce_in_postgres(error)
        case OSError():
            return error.errno in SCARCE_ERRNOS
        case RuntimeError():
            return str(error) == "can't start new thread"
        case _:
            return False


def _is_scarce_in_postgres(error: psycopg.Error) -> bool:
    """A server that has no connection left cannot be told from one that is unavailable, so both are waited for."""
    if isinstance(error, UnsupportedEncoding):
        return False
    return is_unavailable(error) or (sqlstate(error) or "").startswith(SCARCE_SQLSTATES)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, the outermost first."""
    cause: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
