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
from server.budgets import Budgets, Spending
from server.doorkeeper import Doorkeeper
from server.endpoint import Endpoint
from server.entrance import Entrance
from server.exports import Exports
from server.faults import Faults
from server.front import front
from server.health import Health
from server.limits import Limits, Remembered
from server.pages import Assets
from server.services import Services
from server.streams import Streams
from server.trusted import Trusting, trusted_by
from workers.courier import Courier

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


AT_THE_DOOR = 4
"""Connections, and threads, for finding out who somebody is."""


def create_app(settings: Settings) -> Starlette:
    """Build the application. It holds a pool of connections from here on; its lifespan gives them back."""
    trusted = trusted_by(settings)  # first: what it refuses leaves nothing open
    courier = Courier(settings)
    database = Database(settings, deliver=courier, name="tenantry-api")
    feed = Feed(settings.database_url, FEED_CHANNEL)
    # A thread for each connection: whoever waits for a connection waits here, on the event loop, and not in a thread.
    limiter = CapacityLimiter(settings.database_pool)
    # Whoever comes in or has to leave does not wait behind everybody's work.
    door = Database(settings.model_copy(update={"database_pool": AT_THE_DOOR}), name="tenantry-door")
    doorkeeper = Doorkeeper(settings, door, CapacityLimiter(AT_THE_DOOR))
    services = Services(settings, database, feed, limiter, doorkeeper)
    budgets = Budgets(settings)
    schema = build_schema([Faults, lambda: Trusting(trusted), Limits, Remembered, lambda: Spending(budgets)])
    endpoint = Endpoint(schema, services)
    exports = Exports(services, budgets)
    entrance = Entrance(settings, doorkeeper.provider)
    health = Health(settings, database)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        going = [
            asyncio.create_task(feed.listen(), name="change feed"),
            asyncio.create_task(doorkeeper.make_rounds(), name="rounds of the doorkeeper"),
        ]
        try:
            yield
        finally:
            for task in going:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await doorkeeper.close()
            door.close()
            await budgets.close()
            exports.close()
            database.close()
            courier.close()

    app = Starlette(
        routes=[
            Route("/", front),
            Route("/dashboard", entrance.page),
            Route("/dashboard/sign-in.json", entrance.sign_in),
            Route("/dashboard/{path:path}", entrance.page),
            Route("/graphql", endpoint),
            WebSocketRoute("/graphql", endpoint),
            Route("/graphql/stream", Streams(schema, services)),
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
