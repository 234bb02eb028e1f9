"""How uvicorn serves the application: no more than the protocols need, and limits where a peer could ask for more."""

import socket

import uvicorn
from starlette.applications import Starlette

from server.uvicorn_protocols import BoundedHttp, BoundedSocketProtocol

LARGEST_MESSAGE = 256 * 1024
"""Bytes of one websocket message; the same as of a body."""

GRACE_SECONDS = 10


class Server(uvicorn.Server):
    """Tells the application that it stops, so that streams end that would never end by themselves."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self.config.app.state.services.stopping.set()  # type: ignore[union-attr]  # ours is a Starlette
        await super().shutdown(sockets)


def configuration(app: Starlette, host: str = "127.0.0.1", port: int = 8000) -> uvicorn.Config:
    """Uvicorn's configuration. Our own logging is set up already; compression would cost 40 KiB a socket."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=BoundedHttp,
        ws=BoundedSocketProtocol,
        loop="asyncio",  # whose transports take the limits that server/uvicorn_protocols.py sets
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
