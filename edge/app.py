"""The ASGI app for the host names of tenants: its answers depend on the tenant's state."""

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
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from edge.hosts import address_of
from edge.pages import PAGES, Body
from edge.tenants import EdgeTenant, tenant_at
from models import TenantState
from runtime.database import Database
from runtime.request_ids import current_request_id
from runtime.settings import Settings

logger = logging.getLogger(__name__)

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
RETRY_AFTER = {"Retry-After": "60"}


def edge_app(settings: Settings, database: Database) -> ASGIApp:
    """Build the app. Each request reads the database only."""
    return Starlette(routes=[Mount("/", Edge(settings, database))], exception_handlers={Exception: _failed})


def edge_connections(settings: Settings) -> int:
    """How many connections of the pool are the edge's: at most a quarter, the rest is for the API."""
    return max(1, settings.database_pool // 4)


class Edge:
    """Answers GET and HEAD. A tenant that was never live gets the same 404 as an unknown address."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.limiter = CapacityLimiter(edge_connections(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A tenant's address has no websockets."""
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return
        response = await self._answer(Request(scope))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            message = "Only GET and HEAD are allowed."
            return _problem(request, HTTPStatus.METHOD_NOT_ALLOWED, message, {"Allow": "GET, HEAD"})
        address = address_of(request.headers.get("host", ""), self._settings)
        if address is None:
            return _not_found(request)
        try:
            tenant = await to_thread.run_sync(self._read_tenant, address, limiter=self.limiter)
        except SQLAlchemyError:
            logger.warning("edge unavailable: database unreachable", exc_info=True)
            message = "This address is temporarily unavailable; try again in a minute."
            return _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, message, RETRY_AFTER)
        return self._by_state(request, address, tenant)

    def _read_tenant(self, address: str) -> EdgeTenant | None:
        return self._database.transact(tenant_at, address)

    def _by_state(self, request: Request, address: str, tenant: EdgeTenant | None) -> Response:
        if tenant is None:
            return _not_found(request)
        match tenant.state:
            case TenantState.PENDING | TenantState.PROVISIONING | TenantState.FAILED:
                return _not_found(request)
            case TenantState.ACTIVE:
                return self._page(request, address, tenant)
            case TenantState.SUSPENDED:
                return _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "This account is paused.", RETRY_AFTER)
            # 410 already while the decommission runs: it cannot lead back to ACTIVE.
            case TenantState.DECOMMISSIONING | TenantState.DECOMMISSIONED if tenant.was_live:
                return _problem(request, HTTPStatus.GONE, "This account was closed.")
            case TenantState.DECOMMISSIONING | TenantState.DECOMMISSIONED:
                return _not_found(request)
            case other:
                assert_never(other)

    def _page(self, request: Request, address: str, tenant: EdgeTenant) -> Response:
        page = PAGES.get(request.scope["path"])
        if page is None:
            return _not_found(request)
        status, body = page(self._settings.tenant_url(address), tenant)
        return _json(status, body)


def _failed(request: Request, _: Exception) -> Response:
    return _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "This address cannot be shown; try again later.")


def _not_found(request: Request) -> Response:
    return _problem(request, HTTPStatus.NOT_FOUND, "There is nothing at this address.")


def _problem(request: Request, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> Response:
    if _prefers_text(request):
        lines = [message, f"Request id: {current_request_id()}", ""]
        return Response("\n".join(lines), status, {**HEADERS, **(headers or {})}, "text/plain; charset=utf-8")
    return _json(status, {"status": int(status), "message": message}, headers)


def _json(status: HTTPStatus, body: Body, headers: Mapping[str, str] | None = None) -> Response:
    """A response in JSON. An error also has the id of the request, with which its line in the log can be found."""
    request_id = {"requestId": current_request_id()} if status >= HTTPStatus.BAD_REQUEST else {}
    content = json.dumps({**body, **request_id}, indent=2) + "\n"
    return Response(content, status, {**HEADERS, **(headers or {})}, "application/json")


def _prefers_text(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "text/" in accept and "json" not in accept
