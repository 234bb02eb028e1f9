"""The ASGI application: routes, middleware, services that live as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.start_checks import RecentProblem, api_problem
from edge.app import edge_app, edge_connections
from edge.hosts import is_tenant_host
from runtime.cancellable_queries import wait_for_cancelled
from runtime.connection_shares import ConnectionShares
from runtime.database import Database
from runtime.settings import Settings
from schema.root import Schema, build_schema
from server.audit_export.endpoint import ExportEndpoint
from server.auth.authenticator import Authenticator
from server.dashboard import Dashboard
from server.graphql.error_masking import ErrorMasking
from server.graphql.http import GraphQLEndpoint
from server.graphql.sse import SseEndpoint
from server.graphql.trusted_documents import TrustedDocuments, TrustedDocumentsOnly, load_trusted_documents
from server.health import Health
from server.http_errors import Cors, from_exception
from server.index import index
from server.limits.document_limits import DocumentLimits, DocumentValidationCache
from server.limits.lanes import Lanes
from server.limits.rate_limit import RateLimiter, RateLimiting
from server.limits.replays import Replays
from server.request_log import RequestLog
from server.services import Services
from server.web_pages import Assets
from workers.dispatcher import Dispatcher
from workers.redis_hints import change_feed, hint_sender

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
        "RateLimit",
        "RateLimit-Limit",
        "RateLimit-Policy",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "Retry-After",
        "X-Request-ID",
    ],
    "max_age": 7200,
}
"""The headers that pages of allowed origins may send and read."""


PLANNED_FOR_VALUES = {"plan_cache_mode": "force_custom_plan"}
"""The lists plan each statement for its values: a plan for all values reads a whole feed to find an absent one."""

AUTHENTICATION_CONNECTIONS = 4
"""Database connections, and threads, that are reserved for authentication."""

HEALTH_CONNECTIONS = 3
"""Database connections of the readiness check, one for each of its checks that run at the same time."""


def create_app(settings: Settings) -> Starlette:
    """Build the application. It opens a pool of database connections; its lifespan closes them."""
    trusted = load_trusted_documents(settings)  # first: a refusal must not leave connections open
    resources = AsyncExitStack()
    services = _services(settings, resources)
    rate_limiter = RateLimiter(settings)
    resources.push_async_callback(rate_limiter.close)
    replays = Replays(services.loop_share)
    audit_export = ExportEndpoint(services, rate_limiter)
    resources.callback(audit_export.close)
    # A pool of its own, so that a check neither waits for operations nor takes a connection from them.
    health_database = Database(
        settings.model_copy(update={"database_pool": HEALTH_CONNECTIONS}), name="tenantry-health"
    )
    resources.callback(health_database.close)
    app = Starlette(
        routes=_routes(services, _schema(trusted, rate_limiter, replays), audit_export, health_database),
        middleware=[
            Middleware(RequestLog),
            Middleware(TenantHostMiddleware, edge=edge_app(settings, services.database), settings=settings),
            Middleware(Cors, allow_origins=settings.allowed_origins, **CORS),
        ],
        exception_handlers={HTTPException: from_exception},
        lifespan=lambda _: _lifespan(services, resources),
    )
    app.state.services = services
    return app


def _services(settings: Settings, resources: AsyncExitStack) -> Services:
    """What operations share. ``resources`` closes it in reverse order."""
    dispatcher = Dispatcher(settings)
    resources.callback(dispatcher.close)
    hints = hint_sender(settings)
    database = Database(settings, deliver=dispatcher, name="tenantry-api", pinned=PLANNED_FOR_VALUES, hint=hints)
    resources.callback(database.close)
    resources.callback(hints.close)
    feed = change_feed(settings)
    # One thread per connection, so that operations wait for a connection on the event loop and not in a thread.
    connections = ConnectionShares(max(2, settings.database_pool - edge_connections(settings)))
    # A pool of its own, so that authentication and revalidation do not wait for connections behind operations.
    auth_pool = {"database_pool": AUTHENTICATION_CONNECTIONS}
    auth_database = Database(settings.model_copy(update=auth_pool), name="tenantry-auth")
    resources.callback(auth_database.close)
    authenticator = Authenticator(settings, auth_database, CapacityLimiter(AUTHENTICATION_CONNECTIONS))
    resources.push_async_callback(authenticator.close)
    return Services(settings, database, feed, connections, authenticator)


def _schema(trusted: TrustedDocuments, rate_limiter: RateLimiter, replays: Replays) -> Schema:
    return build_schema(
        [
            ErrorMasking,
            lambda: TrustedDocumentsOnly(trusted),
            DocumentLimits,
            DocumentValidationCache,
            lambda: RateLimiting(rate_limiter, replays),
            Lanes,
        ]
    )


def _routes(
    services: Services, schema: Schema, audit_export: ExportEndpoint, health_database: Database
) -> list[BaseRoute]:
    graphql = GraphQLEndpoint(schema, services)
    dashboard = Dashboard(services.settings, services.authenticator.provider)
    health = Health(services.settings, health_database, RecentProblem(services.settings, api_problem))
    return [
        Route("/", index),
        Route("/dashboard", dashboard.page),
        Route("/dashboard/sign-in.json", dashboard.sign_in),
        Route("/dashboard/{path:path}", dashboard.page),
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
        Route("/graphql/stream", SseEndpoint(schema, services)),
        Route("/export/audit.{format}", audit_export),
        Mount("/assets", Assets()),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
    ]


@asynccontextmanager
async def _lifespan(services: Services, resources: AsyncExitStack) -> AsyncIterator[None]:
    """Listen to the feed and revalidate sessions while the process serves, then close every connection."""
    tasks = [
        asyncio.create_task(services.feed.listen(), name="change feed"),
        asyncio.create_task(services.feed.poll(services.read_marks), name="poll of the change feed"),
        asyncio.create_task(services.authenticator.revalidate_forever(), name="session revalidation"),
    ]
    async with resources:
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await wait_for_cancelled()


class TenantHostMiddleware:
    """Routes requests for tenants' host names to the edge, all others to the product."""

    def __init__(self, app: ASGIApp, edge: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._edge = edge
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request."""
        has_host = scope["type"] in {"http", "websocket"}
        for_tenant = has_host and is_tenant_host(_host(scope), self._settings)
        await (self._edge if for_tenant else self._app)(scope, receive, send)


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
