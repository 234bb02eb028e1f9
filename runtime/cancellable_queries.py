"""Database work in a thread, for a coroutine whose cancellation also cancels the running SQL statement."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg
from anyio import CapacityLimiter, to_thread
from sqlmodel import Session

from runtime.connection_shares import ConnectionShares, Holder, Lane

T = TypeVar("T")

CANCEL_TIMEOUT = 2.0
"""Seconds for sending one cancel request to Postgres."""

CANCEL_RETRY_INTERVAL = 0.1
"""Seconds. A cancel request that arrives between two statements cancels neither."""

SHUTDOWN_TIMEOUT = 5.0
"""Seconds that a shutdown waits for threads whose caller was cancelled."""

_ending: set[asyncio.Task[None]] = set()
"""Keeps a reference to each task: the event loop itself keeps weak references only."""


class QueryAbandoned(Exception):
    """The caller was cancelled before the query began."""


class CancellableQuery:
    """The statement that a thread runs on Postgres, so that another thread can cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._cancelled = False
        self._cancel_may_be_pending = False

    @contextmanager
    def cancellable(self, session: Session) -> Iterator[None]:
        """Allow cancelling within the block, which ends before the transaction does: no commit is ever cancelled.

        Raises QueryAbandoned when the query was cancelled before the block.
        """
        connection = session.connection().connection.driver_connection
        with self._lock:
            if self._cancelled:
                raise QueryAbandoned
            self._connection = connection
        try:
            yield
        finally:
            # cancel() holds the lock while it sends a request, so no later statement of this connection is cancelled.
            with self._lock:
                self._connection = None
            if self._cancel_may_be_pending:
                session.connection().invalidate()  # a cancel request may still arrive on this connection

    def cancel(self) -> None:
        """Cancel the query unless it has ended. A query that has not begun never will."""
        with self._lock:
            self._cancelled = True
            if self._connection is not None:
                self._cancel(self._connection)

    def _cancel(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        except psycopg.Error:
            self._cancel_may_be_pending = True


async def run_in_thread(
    work: Callable[..., T], connections: ConnectionShares, lane: Lane, holder: Holder, *args: object
) -> T:
    """Run ``work`` with ``args`` and the query in a thread. Raises what ``work`` raises, and NoConnection.

    A cancelled caller does not wait for the thread.

    The thread keeps its place in ``lane`` until it has ended, because it keeps its connection as long. Work that is
    cancelled before it gets a place never begins.
    """
    query = CancellableQuery()
    await connections.acquire(lane, holder)
    job = asyncio.ensure_future(to_thread.run_sync(partial(work, *args, query), limiter=CapacityLimiter(1)))
    job.add_done_callback(lambda _: connections.release(lane, holder))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        ending = asyncio.create_task(_end(job, query))
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        raise


async def wait_for_cancelled() -> None:
    """Wait until the threads of cancelled callers have ended, at most SHUTDOWN_TIMEOUT.

    A thread returns its connection when it ends. A pool that is closed before that never closes the connection.
    """
    loop = asyncio.get_running_loop()
    # A copy: another event loop of this process may change the set meanwhile.
    if ending := [task for task in tuple(_ending) if task.get_loop() is loop]:
        await asyncio.wait(ending, timeout=SHUTDOWN_TIMEOUT)


async def _end(job: asyncio.Future[Any], query: CancellableQuery) -> None:
    while not job.done():
        await to_thread.run_sync(query.cancel)
        await asyncio.wait([job], timeout=CANCEL_RETRY_INTERVAL)
    job.exception()  # marks the exception as retrieved: it has no reader any more
