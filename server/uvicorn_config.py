"""Uvicorn's configuration: the protocols in use, with limits on the memory that a peer can occupy."""

import asyncio
import os
import socket

import uvicorn
from starlette.applications import Starlette

from runtime.programs import OperatorError
from runtime.settings import Settings
from server.limits.connections import BACKLOG, ConnectionLimit, LimitedConfig, connection_limit
from server.uvicorn_protocols import BoundedHttp, BoundedWebSocketProtocol

MAX_MESSAGE_BYTES = 256 * 1024
"""Of one websocket message; the same limit as for an HTTP body."""

SHUTDOWN_TIMEOUT = 10
"""Seconds for which open requests may go on after SIGTERM."""


class CannotListen(OperatorError):
    """The address or the port cannot be used."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"Cannot listen on port {port} of {host}: {reason}. "
            "Name an address of this machine with --host, and a free port with --port."
        )


class Server(uvicorn.Server):
    """Says why it cannot listen; sets the application's ``stopping`` event on shutdown, so that streams end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then start. Raises CannotListen, where uvicorn logs the error and exits."""
        listening = sockets or await listen(self.config.host, self.config.port)
        await super().startup(listening)
        self._log_started_message(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Signal the application, then shut down."""
        self.config.app.state.services.stopping.set()  # type: ignore[union-attr]  # the app is a Starlette
        await super().shutdown(sockets)


async def listen(host: str, port: int) -> list[socket.socket]:
    """One socket for each address of the host. Raises CannotListen."""
    try:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    except (OSError, UnicodeError) as error:
        raise CannotListen(host, port, _reason(error)) from error
    sockets = [one.dup() for one in server.sockets]
    server.close()
    return sockets


def _reason(error: OSError | UnicodeError) -> str:
    """The system's reason, without asyncio's words around it."""
    if isinstance(error, OSError) and error.errno is not None:
        return (error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno)) or str(error)
    return str(error)


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
