"""Caps the connections of an API process below its file limit: a new one takes the place of the oldest idle one."""

import asyncio
import logging
import resource
import time
from collections.abc import Hashable
from typing import Protocol

import uvicorn

from runtime.settings import Settings

logger = logging.getLogger(__name__)

BACKLOG = 64
"""Connections that the kernel completes before the process accepts them. asyncio accepts all of them at once."""

ROUNDS_UNTIL_CLOSED = 4
"""Rounds of accepting before the first connection that gives way has freed its file."""

OTHER_FILES = 96
"""Files of a process besides its connections to clients and to the database: modules, logs, Redis, exports, sign-in."""

MIN_CONNECTIONS = 16
"""A file limit below this many connections is too low to serve anything."""

WARNING_INTERVAL = 60.0
"""Seconds between two warnings that the limit is reached."""


class Connection(Hashable, Protocol):
    """A connection that can be closed at once."""

    transport: asyncio.Transport


class ConnectionLimit:
    """The idle connections of this process: between two requests, or with an incomplete head."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: dict[Connection, None] = {}
        self._warned_at = -WARNING_INTERVAL

    def opened(self, connection: Connection, total: int) -> None:
        """Add a new connection. When there are too many in ``total``, close the one that has been idle longest.

        If no other connection is idle, this is the new one itself.
        """
        self._idle[connection] = None
        if total <= self.limit:
            return
        oldest = next(iter(self._idle))
        del self._idle[oldest]
        oldest.transport.abort()
        self._warn()

    def set_idle(self, connection: Connection, *, idle: bool) -> None:
        """Note whether a connection is idle. One that stays idle keeps its place."""
        if idle:
            self._idle.setdefault(connection)
        else:
            self._idle.pop(connection, None)

    def _warn(self) -> None:
        if time.monotonic() - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = time.monotonic()
            logger.warning("connection limit reached, closing idle connections", extra={"limit": self.limit})


class LimitedConfig(uvicorn.Config):
    """Uvicorn's configuration, with the limit that its protocols share."""

    connection_limit: ConnectionLimit


def connection_limit(settings: Settings) -> int:
    """The most connections that clients may have open: the setting's number, or as many as the file limit leaves."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return settings.max_connections
    return max(MIN_CONNECTIONS, min(settings.max_connections, files - reserved_files(settings)))


def reserved_files(settings: Settings) -> int:
    """The files that a process needs for other things than open connections of clients."""
    return OTHER_FILES + ROUNDS_UNTIL_CLOSED * BACKLOG + 2 * settings.database_pool
