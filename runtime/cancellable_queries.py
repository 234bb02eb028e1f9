"""Work on the database in a thread, for somebody on the event loop who may give it up: its statement is cancelled."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from anyio import CapacityLimiter, to_thread
from sqlmodel import Session

T = TypeVar("T")

CANCEL_WITHIN = 2.0
"""Seconds for telling Postgres to give a statement up."""

CANCEL_AGAIN_AFTER = 0.1
"""Seconds. A cancellation that comes between two statements hits neither."""

_ending: set[asyncio.Task[None]] = set()
"""The event loop itself keeps no task alive."""


class GivenUp(Exception):
    """Nobody waits for this any more."""


class Statement:
    """What a thread is asking of Postgres, so that another may cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._given_up = False
        self._unsure = False

    @contextmanager
    def of(self, session: Session) -> Iterator[None]:
        """May be cancelled within the block, which ends before the transaction does: no commit is ever cancelled.

        Raises GivenUp when nobody waits for it before it begins.
        """
        connection = session.connection().connection.driver_connection
        with self._lock:
            if self._given_up:
                raise GivenUp
            self._connection = connection
        try:
            yield
        finally:
            # Whoever is cancelling it has the lock: no later statement of this connection is hit.
            with self._lock:
                self._connection = None
            if self._unsure:
                session.connection().invalidate()  # a cancellation may still be on its way to it

    def cancel(self) -> None:
        """Cancel it, unless it has ended; one that has not begun never will."""
        with self._lock:
            self._given_up = True
            if self._connection is not None:
                self._cancel(self._connection)

    def _cancel(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.cancel_safe(timeout=CANCEL_WITHIN)
        except psycopg.Error:
            self._unsure = True


async def in_thread(work: Callable[[Statement], T], limiter: CapacityLimiter) -> T:
    """One hop to a thread. Raises what ``work`` raises. Whoever gives it up waits for nothing.

    The thread keeps its place until it has ended, since its connection does so too. What is given up before there was
    a place for it never begins.
    """
    statement = Statement()
    await limiter.acquire_on_behalf_of(statement)
    job = asyncio.ensure_future(to_thread.run_sync(work, statement, limiter=CapacityLimiter(1)))
    job.add_done_callback(lambda _: limiter.release_on_behalf_of(statement))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        ending = asyncio.create_task(_end(job, statement))
        _ending.add(ending)
        ending.add_done_callback(_ending.discard)
        raise


async def _end(job: asyncio.Future[Any], statement: Statement) -> None:
    while not job.done():
        await to_thread.run_sync(statement.cancel)
        await asyncio.wait([job], timeout=CANCEL_AGAIN_AFTER)
    job.exception()  # it has been looked at, and concerns nobody
