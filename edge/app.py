"""The ASGI app that answers for tenants' host names, by how each tenant stands."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import assert_never

from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.answers import PAGES, Document
from edge.hosts import address_of
from edge.standing import Standing, standing_of
from models import TenantState
from runtime.database import Database
from runtime.settings import Settings

logger = logging.getLogger(__name__)

SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
RETRY_AFTER = {"Retry-After": "60"}


def edge_app(settings: Settings, database: Database) -> ASGIApp:
    """Build the app. It reads the database, and nothing else, for every request."""
    return Starlette(routes=[Route("/{path:path}", Edge(settings, database))])


class Edge:
    """Answers GET and HEAD. Whoever is not live gets the same 404 as whoever never was."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        # Visitors of tenants leave most of the pool to the API.
        self.limiter = CapacityLimiter(max(1, settings.database_pool // 4))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return _problem(request, HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD.", {"Allow": "GET, HEAD"})
        address = address_of(request.headers.get("host", ""), self._settings)
        if address is None:
            return _nothing_here(request)
        try:
            standing = await to_thread.run_sync(self._standing, address, limiter=self.limiter)
        except SQLAlchemyError:
            logger.warning("the edge cannot reach the database", exc_info=True)
            return _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "Please try again in a moment.", RETRY_AFTER)
        return self._by_state(request, address, standing)

    def _standing(self, address: str) -> Standing | None:
        return self._database.transact(standing_of, address)

    def _by_state(self, request: Request, address: str, standing: Standing | None) -> Response:
        if standing is None:
            return _nothing_here(request)
        match standing.state:
            case TenantState.PENDING | TenantState.PROVISIONING | TenantState.FAILED:
                return _nothing_here(request)
            case TenantState.ACTIVE:
                return self._page(request, address, standing)
            case TenantState.SUSPENDED:
                return _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "This account is paused.", RETRY_AFTER)
            # Whoever is being taken down does not come back: there is no way from here to active.
            case TenantState.DECOMMISSIONING | TenantState.DECOMMISSIONED:
                return _problem(request, HTTPStatus.GONE, "This account was closed.")
            case other:
                assert_never(other)

    def _page(self, request: Request, address: str, standing: Standing) -> Response:
        page = PAGES.get(request.scope["path"])
        if page is None:
            return _nothing_here(request)
        status, document = page(self._settings.tenant_url(address), standing)
        return _json(status, document)


def _nothing_here(request: Request) -> Response:
    return _problem(request, HTTPStatus.NOT_FOUND, "Nothing is here.")


def _problem(request: Request, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    if _prefers_text(request):
        return Response(f"{sentence}\n", status, {**SAFE, **(headers or {})}, "text/plain; charset=utf-8")
    return _json(status, {"status": int(status), "message": sentence}, headers)


def _json(status: HTTPStatus, document: Document, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(document, indent=2) + "\n"
    return Response(body, status, {**SAFE, **(headers or {})}, "application/json")


def _prefers_text(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "text/" in accept and "json" not in accept
