"""The audit feed as a download: ``/export/audit.csv``, ``/export/audit.jsonl``."""

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
from provisioning import audit_export, audit_feed
from provisioning.anchors import Anchor
from provisioning.audit_export import Export
from provisioning.errors import NotFound as UnknownObject
from provisioning.pagination import Key
from runtime.cancellable_queries import CancellableQuery
from runtime.database import MAX_ATTEMPTS, Database, is_busy, is_transient
from runtime.feed import RECONNECT_AFTER
from schema.context import Context
from schema.errors import Busy, NotFound, RequestRefused
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

MAX_EXPORTS = 4
"""Running in this process. They have their own connection pool, so that other operations do not wait for them."""

MAX_EXPORTS_PER_CALLER = 2
"""Two, because one may still be cleaned up while the next one starts."""

MAX_EXPORTS_PER_ORGANISATION = 3
"""Over all of its accounts: leaves one for another organisation."""

CURSOR_TIMEOUT = 60.0
"""Seconds for which one cursor is read, because Postgres keeps deleted rows for it. Then a new cursor continues."""

COST = 100
"""Points of the caller's budget: as much as a page of the feed, because each export writes an event."""

STATEMENT_TIMEOUT = timedelta(seconds=60)
"""For one fetch, which may have to skip many rows that do not match the filter."""

READ_ONLY = text("SET TRANSACTION READ ONLY")

EXPORT_TIMEOUT = 3600.0
"""Seconds for the whole download. A slower client gets the rest with ``after``."""

STATUSES = {
    "FORBIDDEN": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "UNKNOWN_CURSOR": HTTPStatus.GONE,
}


class ExportEndpoint:
    """The ASGI endpoint of both addresses."""

    def __init__(self, services: Services, rate_limiter: RateLimiter) -> None:
        pool = {"database_pool": MAX_EXPORTS, "statement_timeout": STATEMENT_TIMEOUT}
        self._services = services
        self._rate_limiter = rate_limiter
        self._database = Database(services.settings.model_copy(update=pool), name="tenantry-export")
        self._threads = CapacityLimiter(MAX_EXPORTS)
        self._total_limit = ConcurrencyLimit(MAX_EXPORTS, "running exports on this server")
        self._organisation_limit = ConcurrencyLimit(
            MAX_EXPORTS_PER_ORGANISATION, "running exports in your organisation"
        )
        self._caller_limit = ConcurrencyLimit(MAX_EXPORTS_PER_CALLER, "running exports")

    def close(self) -> None:
        """Close all connections to the database."""
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
        file_format = _format_of(request)
        auth = await authenticate(request, self._services, ["GET"])
        context = self._services.context(auth, headers["X-Request-ID"])
        try:
            export_filter = export_filter_of(request.query_params, file_format.name, context.actor.kind)
            return await self._start(context, auth, export_filter, file_format, headers, stack)
        except RateLimited as refusal:
            raise _too_many_requests(refusal, retry_after=refusal.retry_after) from None
        except Busy as refusal:
            raise _too_many_requests(refusal, retry_after=refusal.retry_after) from None
        except RequestRefused as refusal:
            raise HttpRefused(STATUSES.get(refusal.code, HTTPStatus.BAD_REQUEST), str(refusal), refusal.code) from None
        except UnknownObject as refusal:
            raise HttpRefused(HTTPStatus.NOT_FOUND, str(refusal), NotFound.code) from None
        except SQLAlchemyError as error:
            raise _database_error(error, headers["X-Request-ID"]) from None

    async def _start(
        self,
        context: Context,
        auth: AuthResult,
        export_filter: ExportFilter,
        file_format: Format,
        headers: dict[str, str],
        stack: AsyncExitStack,
    ) -> "Download":
        """Start an export and read its first rows, so that an export that cannot start is refused with a status."""
        context.require(Permission.EXPORT_FEED)
        self._acquire_slots(context, export_filter, stack)
        await self._rate_limiter.take(context.holder, COST)
        export = await context.transact(
            audit_export.begin,
            export_filter.events,
            export_filter.organisation,
            export_filter.facts,
            export_filter.anchor,
            by=context.actor,
        )
        database = self._database.restricted_to(context.actor.row_scope)
        reader = ExportReader(
            database, export, export_filter.after, export_filter.anchor, file_format, context.caller, self._threads
        )
        stack.push_async_callback(reader.close)
        first = file_format.head + (await reader.next_chunk() or b"")
        return Download(reader, first, auth, self._services, {**headers, **_file_headers(export, file_format)})

    def _acquire_slots(self, context: Context, export_filter: ExportFilter, stack: AsyncExitStack) -> None:
        """Occupy a slot of each limit until the stack is unwound. Raises HttpRefused."""
        actor = context.actor
        try:
            stack.enter_context(self._caller_limit.slot(actor.id))
            stack.enter_context(self._organisation_limit.slot(actor.organisation_id or export_filter.organisation))
            stack.enter_context(self._total_limit.slot("all"))
        except ConcurrencyLimitExceeded as refusal:
            raise _too_many_requests(refusal, retry_after=30) from None


@dataclass
class ExportReader:
    """Reads the chunks of one file in threads, each only when it is requested, so that none is buffered."""

    database: Database
    export: Export
    after: Key | None
    anchor: Anchor | None
    format: Format
    caller: Identity
    threads: CapacityLimiter
    _query: CancellableQuery = field(default_factory=CancellableQuery)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _complete: bool = False

    def __post_init__(self) -> None:
        self._chunks = self._read()

    async def next_chunk(self) -> bytes | None:
        """The next chunk; None after the last."""
        return await to_thread.run_sync(self._next, limiter=self.threads)

    async def close(self) -> None:
        """Cancel the running statement, close the cursor and release the connection."""
        with CancelScope(shield=True):
            await to_thread.run_sync(self._close)

    def _next(self) -> bytes | None:
        with self._lock:
            return next(self._chunks, None)

    def _close(self) -> None:
        self._closed.set()
        self._query.cancel()
        with self._lock, suppress(SQLAlchemyError):  # a broken connection needs no closing
            self._chunks.close()

    def _read(self) -> Generator[bytes, None, None]:
        """Read one cursor after another, also after a short outage of Postgres, and each row once."""
        tries, start = 0, self.after
        while not self._complete:
            before = self.after
            try:
                yield from self._read_cursor()
            except SQLAlchemyError as error:
                tries = 1 if self.after != before else tries + 1
                if (
                    self.after == start
                    or tries > MAX_ATTEMPTS
                    or not is_transient(error)
                    or self._closed.wait(RECONNECT_AFTER)
                ):
                    raise
                logger.info("export continues with a new cursor", extra={"cause": type(error).__name__})

    def _read_cursor(self) -> Generator[bytes, None, None]:
        """Read one cursor to its end or until its timeout."""
        with self.database.transaction() as session:
            session.execute(READ_ONLY)
            with self._query.cancellable(session):
                deadline = time.monotonic() + CURSOR_TIMEOUT
                for rows in audit_export.batches(session, self.export, self.after, self.anchor, by=self.caller.actor):
                    yield self.format.body(rows, self.caller)
                    self.after = self.export.event_filter.key_of(rows[-1])
                    self.anchor = audit_feed.anchor_of(rows[-1])
                    if time.monotonic() > deadline:
                        return
                self._complete = True


class Download(Response):
    """A file sent in chunks. HTTP's last chunk follows only a complete file, so clients notice an incomplete one."""

    def __init__(
        self, reader: ExportReader, first: bytes, auth: AuthResult, services: Services, headers: dict[str, str]
    ) -> None:
        super().__init__(None, HTTPStatus.OK, headers)
        del self.headers["content-length"]
        self._reader = reader
        self._first = first
        self._auth = auth
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send the file until its end, a disconnect, a timeout, the end of the session, or the process's stop."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send_chunks(send))
        ends: list[asyncio.Task[Any]] = [
            sending,
            asyncio.create_task(client_disconnected(receive)),
            asyncio.create_task(self._services.stopping.wait()),
            asyncio.create_task(self._services.authenticator.wait_for_session_end(self._auth)),
        ]
        try:
            await asyncio.wait(ends, timeout=EXPORT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            complete = sending.done() and not sending.cancelled() and sending.exception() is None
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            self._log_incomplete(sending)

    async def _send_chunks(self, send: Send) -> None:
        chunk: bytes | None = self._first
        while chunk is not None:
            await send_chunk(send, chunk)
            chunk = await self._reader.next_chunk()

    def _log_incomplete(self, sending: asyncio.Task[None]) -> None:
        """Log the cause; after the status it can no longer be sent to the client."""
        error = None if sending.cancelled() else sending.exception()
        logger.warning(
            "export ended before its last row",
            extra={"request_id": self.headers["X-Request-ID"], "cause": type(error).__name__ if error else "cancelled"},
        )


def _too_many_requests(refusal: RequestRefused, retry_after: int) -> HttpRefused:
    """The refusal as status 429. ``retry_after`` in seconds."""
    return HttpRefused(HTTPStatus.TOO_MANY_REQUESTS, str(refusal), refusal.code, {"Retry-After": str(retry_after)})


def _format_of(request: Request) -> Format:
    file_format = FORMATS.get(request.path_params["format"])
    if file_format is None:
        raise HttpRefused(HTTPStatus.NOT_FOUND, f"The formats are {' and '.join(FORMATS)}.", NotFound.code)
    if request.method != "GET":
        raise not_allowed("Use GET.", "GET")
    return file_format


def _file_headers(export: Export, file_format: Format) -> dict[str, str]:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"audit-{export.slug}-{now}.{file_format.name}"
    return {"Content-Type": file_format.media_type, "Content-Disposition": f'attachment; filename="{name}"'}


def _database_error(error: SQLAlchemyError, request_id: str) -> HttpRefused:
    code = SERVICE_UNAVAILABLE if is_transient(error) else INTERNAL_SERVER_ERROR
    logger.error("export failed to start", extra={"request_id": request_id, "code": code}, exc_info=error)
    if code == SERVICE_UNAVAILABLE:
        return HttpRefused(
            HTTPStatus.SERVICE_UNAVAILABLE, DATABASE_BUSY if is_busy(error) else DATABASE_UNREACHABLE, code
        )
    return HttpRefused(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR_MESSAGE, code)
