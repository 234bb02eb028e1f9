"""Uvicorn's configuration: the protocols in use, with limits on the memory that a peer can occupy."""

import socket

import uvicorn
from starlette.applications import Starlette

from runtime.settings import Settings
from server.limits.connections import BACKLOG, ConnectionLimit, LimitedConfig, connection_limit
from server.uvicorn_protocols import BoundedHttp, BoundedWebSocketProtocol

MAX_MESSAGE_BYTES = 256 * 1024
"""Of one websocket message; the same limit as for an HTTP body."""

SHUTDOWN_TIMEOUT = 10
"""Seconds for which open requests may go on after SIGTERM."""


class Server(uvicorn.Server):
    """Sets the application's ``stopping`` event on shutdown, so that streams end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Signal the application, then shut down."""
        self.config.app.state.services.stopping.set()  # type: ignore[union-attr]  # the app is a Starlette
        await super().shutdown(sockets)


def configuration(app: Starlette, host: str = "127.0.0.1", port: int = 8000) -> LimitedConfig:
    """Uvicorn's configuration. Logging is configured elsewhere; compression would cost 40 KiB per websocket."""
    settings: Settings = app.state.services.settings
    config = LimitedConfig(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=BoundedHttp,
        ws=BoundedWebSocketProtocol,
        loop="asyncio",  # server/uvicorn_protocols.py sets limits on asyncio's transports
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
        backlog=BACKLOG,
        # Without trusted proxies the headers are ignored: any client could name any address in them.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    config.connection_limit = ConnectionLimit(connection_limit(settings))
    return config
