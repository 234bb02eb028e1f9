"""The audit feed as a file: who may take it, what of it, and how it reaches a client that has to read."""

import asyncio
import logging
import threading
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from anyio import CancelScope, CapacityLimiter, to_thread
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from access.permissions import Identity, Permission
from provisioning import audit_export
from provisioning.audit_export import Export
from provisioning.errors import NotFound as Unknown
from provisioning.pagination import Key
from runtime.cancellable_queries import CancellableQuery
from runtime.database import MAX_ATTEMPTS, Database, is_busy, is_transient
from runtime.feed import RECONNECT_AFTER
from schema.context import Context
from schema.errors import NotFound, RequestRefused
from server.audit_export.filters import ExportFilter, export_filter_of
from server.audit_export.formats import FORMATS, Format
from server.auth.tokens import AuthResult
from server.graphql import responses
from server.graphql.error_masking import (
    DATABASE_BUSY,
    DATABASE_UNREACHABLE,
    INTERNAL_ERROR_MESSAGE,
    INTERNAL_SERVER_ERROR,
    SERVICE_UNAVAILABLE,
)
from server.graphql.request import HttpRefused
from server.graphql.sse import client_disconnected, send_chunk
from server.limits.concurrency import ConcurrencyLimit, ConcurrencyLimitExceeded
from server.limits.rate_limit import RateLimited, RateLimiter
from server.request_context import authenticate, headers_of, not_allowed
from server.services import Services

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""ExportEndpoint under way in this process. They have connections of their own, so nobody else waits for one."""

AT_ONCE_PER_CALLER = 2
"""One may still be put away while the next begins."""

CURSOR_WITHIN = 60.0
"""Seconds for which a cursor is read: Postgres keeps what is deleted meanwhile. Then another goes on behind it."""

AT_ONCE_PER_ORGANISATION = 3
"""However many accounts it has: one place is left for somebody else."""

COST = 100
"""Points of the caller's budget: as much as a page of the feed, because each leaves an event."""

STATEMENT_WITHIN = timedelta(seconds=60)
"""For the rows of one fetch, which may lie behind many that the filter leaves out."""

READ_ONLY = text("SET TRANSACTION READ ONLY")

EXPORT_WITHIN = 3600.0
"""Seconds for all of it. Whoever reads slower takes the rest with ``after``."""

STATUSES = {"FORBIDDEN": HTTPStatus.FORBIDDEN, "NOT_FOUND": HTTPStatus.NOT_FOUND}


class ExportEndpoint:
    """The address for exports."""

    def __init__(self, services: Services, rate_limiter: RateLimiter) -> None:
        own = services.settings.model_copy(update={"database_pool": AT_ONCE, "statement_timeout": STATEMENT_WITHIN})
        self._services = services
        self._rate_limiter = rate_limiter
        self._database = Database(own, name="tenantry-export")
        self._threads = CapacityLimiter(AT_ONCE)
        self._all = ConcurrencyLimit(AT_ONCE, "exports under way in this process")
        self._theirs = ConcurrencyLimit(AT_ONCE_PER_ORGANISATION, "exports under way in your organisation")
        self._own = ConcurrencyLimit(AT_ONCE_PER_CALLER, "exports under way")

    def close(self) -> None:
        """Give every connection back."""
        self._database.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with a file, or refuse it."""
        request = Request(scope, receive)
        headers = headers_of(request)
        async with AsyncExitStack() as stack:
            try:
                response = await self._answer(request, headers, stack)
            except HttpRefused as refused:
                response = responses.from_refusal(refused, responses.JSON, headers)
            await response(scope, receive, send)

    async def _answer(self, request: Request, headers: dict[str, str], stack: AsyncExitStack) -> Response:
        kind = _format_of(request)
        auth = await authenticate(request, self._services, ["GET"])
        context = self._services.context(auth, headers["X-Request-ID"])
        try:
            return await self._begun(
                context,
                auth,
                export_filter_of(request.query_params, kind.name, context.actor.kind),
                kind,
                headers,
                stack,
            )
        except RateLimited as refusal:
            raise _too_many(refusal, wait=refusal.retry_after) from None
        except RequestRefused as refusal:
            raise HttpRefused(STATUSES.get(refusal.code, HTTPStatus.BAD_REQUEST), str(refusal), refusal.code) from None
        except Unknown as refusal:
            raise HttpRefused(HTTPStatus.NOT_FOUND, str(refusal), NotFound.code) from None
        except SQLAlchemyError as error:
            raise _fault(error, headers["X-Request-ID"]) from None

    async def _begun(
        self,
        context: Context,
        auth: AuthResult,
        wish: ExportFilter,
        kind: Format,
        headers: dict[str, str],
        stack: AsyncExitStack,
    ) -> "Download":
        """With its first rows at hand, so that what cannot begin is refused and not broken off."""
        context.require(Permission.EXPORT_FEED)
        self._take_a_place(context, wish, stack)
        await self._rate_limiter.take(context.actor.id, COST)
        export = await context.transact(
            audit_export.begin, wish.wanted, wish.organisation, wish.facts, by=context.actor
        )
        reading = Reading(
            self._database.restricted_to(context.actor.row_scope),
            export,
            wish.after,
            kind,
            context.caller,
            self._threads,
        )
        stack.push_async_callback(reading.end)
        first = kind.head + (await reading.chunk() or b"")
        return Download(reading, first, auth, self._services, {**headers, **_as_file(export, kind)})

    def _take_a_place(self, context: Context, wish: ExportFilter, stack: AsyncExitStack) -> None:
        """Until the stack is unwound. Raises HttpRefused when there is none."""
        actor = context.actor
        try:
            stack.enter_context(self._own.slot(actor.id))
            stack.enter_context(self._theirs.slot(actor.organisation_id or wish.organisation))
            stack.enter_context(self._all.slot("everybody"))
        except ConcurrencyLimitExceeded as refusal:
            raise _too_many(refusal, wait=30) from None


@dataclass
class Reading:
    """The chunks of one file, read in threads and only when asked for: nothing waits in memory for its client."""

    database: Database
    export: Export
    place: Key | None
    format: Format
    caller: Identity
    threads: CapacityLimiter
    _query: CancellableQuery = field(default_factory=CancellableQuery)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _complete: bool = False

    def __post_init__(self) -> None:
        self._chunks = self._read()

    async def chunk(self) -> bytes | None:
        """The next one; None behind the last."""
        return await to_thread.run_sync(self._next, limiter=self.threads)

    async def end(self) -> None:
        """Cancel what Postgres is asked, close the cursor, and give the connection back."""
        with CancelScope(shield=True):
            await to_thread.run_sync(self._end)

    def _next(self) -> bytes | None:
        with self._lock:
            return next(self._chunks, None)

    def _end(self) -> None:
        self._over.set()
        self._query.cancel()
        with self._lock, suppress(SQLAlchemyError):  # a connection that is dead needs no closing
            self._chunks.close()

    def _read(self) -> Generator[bytes, None, None]:
        """One cursor after another, also after Postgres was away for a moment; what was told is not told again."""
        tries, begun_at = 0, self.place
        while not self._complete:
            before = self.place
            try:
                yield from self._portion()
            except SQLAlchemyError as error:
                tries = 1 if self.place != before else tries + 1
                hopeless = self.place == begun_at or tries > MAX_ATTEMPTS or not is_transient(error)
                if hopeless or self._over.wait(RECONNECT_AFTER):
                    raise
                logger.info("an export goes on with another cursor", extra={"cause": type(error).__name__})

    def _portion(self) -> Generator[bytes, None, None]:
        """What one cursor finds until it is at the end, or old."""
        with self.database.transaction() as session:
            session.execute(READ_ONLY)
            with self._query.cancellable(session):
                old_at = time.monotonic() + CURSOR_WITHIN
                for rows in audit_export.batches(session, self.export, self.place, by=self.caller.actor):
                    yield self.format.body(rows, self.caller)
                    self.place = self.export.event_filter.key_of(rows[-1])
                    if time.monotonic() > old_at:
                        return
                self._complete = True


class Download(Response):
    """A file that lacks its end unless it was read to its end: HTTP's last chunk says that it is whole."""

    def __init__(
        self, reading: Reading, first: bytes, auth: AuthResult, services: Services, headers: dict[str, str]
    ) -> None:
        super().__init__(None, HTTPStatus.OK, headers)
        del self.headers["content-length"]
        self._reading = reading
        self._first = first
        self._auth = auth
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send it, until its client leaves, is too slow or may not read on, or the process stops."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(send))
        ends: list[asyncio.Task[Any]] = [
            pump,
            asyncio.create_task(client_disconnected(receive)),
            asyncio.create_task(self._services.stopping.wait()),
            asyncio.create_task(self._services.authenticator.wait_for_session_end(self._auth)),
        ]
        try:
            await asyncio.wait(ends, timeout=EXPORT_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            whole = pump.done() and not pump.cancelled() and pump.exception() is None
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            self._log(pump)

    async def _pump(self, send: Send) -> None:
        chunk: bytes | None = self._first
        while chunk is not None:
            await send_chunk(send, chunk)
            chunk = await self._reading.chunk()

    def _log(self, pump: asyncio.Task[None]) -> None:
        """Say why it broke off; to the client nothing can be said any more."""
        error = None if pump.cancelled() else pump.exception()
        logger.warning(
            "an export broke off",
            extra={"request_id": self.headers["X-Request-ID"], "cause": type(error).__name__ if error else "it ended"},
        )


def _too_many(refusal: RequestRefused, wait: int) -> HttpRefused:
    """As HTTP says it, with the seconds after which to try again."""
    return HttpRefused(HTTPStatus.TOO_MANY_REQUESTS, str(refusal), refusal.code, {"Retry-After": str(wait)})


def _format_of(request: Request) -> Format:
    kind = FORMATS.get(request.path_params["format"])
    if kind is None:
        raise HttpRefused(HTTPStatus.NOT_FOUND, f"There is {' and '.join(FORMATS)}.", NotFound.code)
    if request.method != "GET":
        raise not_allowed("Use GET.", "GET")
    return kind


def _as_file(export: Export, kind: Format) -> dict[str, str]:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"audit-{export.slug}-{now}.{kind.name}"
    return {"Content-Type": kind.media_type, "Content-Disposition": f'attachment; filename="{name}"'}


def _fault(error: SQLAlchemyError, request_id: str) -> HttpRefused:
    code = SERVICE_UNAVAILABLE if is_transient(error) else INTERNAL_SERVER_ERROR
    logger.error("an export did not begin", extra={"request_id": request_id, "code": code}, exc_info=error)
    if code == SERVICE_UNAVAILABLE:
        return HttpRefused(
            HTTPStatus.SERVICE_UNAVAILABLE, DATABASE_BUSY if is_busy(error) else DATABASE_UNREACHABLE, code
        )
    return HttpRefused(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR_MESSAGE, code)
