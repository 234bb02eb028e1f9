"""The ASGI application: what answers where, and what lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from edge import edge_app, is_tenant_host
from provisioning.events import FEED_CHANNEL
from runtime.database import Database
from runtime.feed import Feed
from runtime.settings import Settings
from schema.root import build_schema
from server.audit_export.endpoint import ExportEndpoint
from server.auth.authenticator import Authenticator
from server.dashboard import Dashboard
from server.graphql.error_masking import ErrorMasking
from server.graphql.http import GraphQLEndpoint
from server.graphql.sse import SseEndpoint
from server.graphql.trusted_documents import TrustedDocumentsOnly, load_trusted_documents
from server.health import Health
from server.index import index
from server.limits.document_limits import DocumentLimits, DocumentValidationCache
from server.limits.rate_limit import RateLimiter, RateLimiting
from server.services import Services
from server.web_pages import Assets
from workers.dispatcher import Dispatcher

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": [
        "Authorization",
        "Content-Type",
        "GraphQL-Require-Preflight",
        "Idempotency-Key",
        "Last-Event-ID",
        "Tenantry-Organization",
        "X-Request-ID",
    ],
    "expose_headers": [
        "Content-Disposition",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Retry-After",
        "X-Request-ID",
    ],
    "max_age": 7200,
}
"""What pages of other sites may send and read, where the settings allow them at all."""


AUTHENTICATION_CONNECTIONS = 4
"""Connections, and threads, for finding out who somebody is."""


def create_app(settings: Settings) -> Starlette:
    """Build the application. It holds a pool of connections from here on; its lifespan gives them back."""
    trusted = load_trusted_documents(settings)  # first: what it refuses leaves nothing open
    dispatcher = Dispatcher(settings)
    database = Database(settings, deliver=dispatcher, name="tenantry-api")
    feed = Feed(settings.database_url, FEED_CHANNEL)
    # A thread for each connection: whoever waits for a connection waits here, on the event loop, and not in a thread.
    limiter = CapacityLimiter(settings.database_pool)
    # Whoever comes in or has to leave does not wait behind everybody's work.
    door = Database(settings.model_copy(update={"database_pool": AUTHENTICATION_CONNECTIONS}), name="tenantry-door")
    authenticator = Authenticator(settings, door, CapacityLimiter(AUTHENTICATION_CONNECTIONS))
    services = Services(settings, database, feed, limiter, authenticator)
    budgets = RateLimiter(settings)
    schema = build_schema(
        [
            ErrorMasking,
            lambda: TrustedDocumentsOnly(trusted),
            DocumentLimits,
            DocumentValidationCache,
            lambda: RateLimiting(budgets),
        ]
    )
    endpoint = GraphQLEndpoint(schema, services)
    exports = ExportEndpoint(services, budgets)
    entrance = Dashboard(settings, authenticator.provider)
    health = Health(settings, database)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        going = [
            asyncio.create_task(feed.listen(), name="change feed"),
            asyncio.create_task(authenticator.revalidate_forever(), name="rounds of the doorkeeper"),
        ]
        try:
            yield
        finally:
            for task in going:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await authenticator.close()
            door.close()
            await budgets.close()
            exports.close()
            database.close()
            dispatcher.close()

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/dashboard", entrance.page),
            Route("/dashboard/sign-in.json", entrance.sign_in),
            Route("/dashboard/{path:path}", entrance.page),
            Route("/graphql", endpoint),
            WebSocketRoute("/graphql", endpoint),
            Route("/graphql/stream", SseEndpoint(schema, services)),
            Route("/export/audit.{format}", exports),
            Mount("/assets", Assets()),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
        ],
        middleware=[
            Middleware(TenantsFirst, edge=edge_app(settings, database), settings=settings),
            Middleware(CORSMiddleware, allow_origins=settings.allowed_origins, **CORS),
        ],
        lifespan=lifespan,
    )
    app.state.services = services
    return app


class TenantsFirst:
    """Sends requests for tenants' host names to the edge; everything else is for the product itself."""

    def __init__(self, app: ASGIApp, edge: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._edge = edge
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        addressed = scope["type"] in {"http", "websocket"}
        for_tenant = addressed and is_tenant_host(_host(scope), self._settings)
        await (self._edge if for_tenant else self._app)(scope, receive, send)


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
