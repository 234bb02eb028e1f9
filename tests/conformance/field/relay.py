"""A proxy between two Unix sockets that can simulate an unreachable or silent server."""

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

CHUNK = 1 << 20
"""Bytes of one read, and the limit of bytes that wait for a slow reader."""

TIMEOUT = 10.0
"""Seconds that a command to the relay may take."""


class ConnectionCut(Exception):
    """Raised by a filter to cut its connection. The bytes ``before`` are still forwarded."""

    def __init__(self, before: bytes | bytearray) -> None:
        super().__init__()
        self.before = before


class Filter:
    """The filter of one connection; this one forwards all bytes. It runs on the relay's thread."""

    def request(self, data: bytes) -> bytes | bytearray:
        """The bytes of the client to forward to the server. Raises ConnectionCut."""
        return data

    def reply(self, data: bytes) -> bytes | bytearray:
        """The bytes of the server to forward to the client. Raises ConnectionCut."""
        return data


class Relay:
    """Listens on one socket and forwards every connection to another. Its methods may be called from any thread.

    ``connections`` counts accepted connections, ``cut_connections`` those that the relay cut, ``forwarded`` the bytes.
    """

    def __init__(self, target: Path, socket_path: Path) -> None:
        self.target = target
        self.socket_path = socket_path
        self.connections = 0
        self.cut_connections = 0
        self.forwarded = 0
        self._open: set[asyncio.Task[None]] = set()
        self._forwarding = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        """Listen and forward connections."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"relay at {self.socket_path}", daemon=True)
        self._thread.start()
        self.restore()

    def stop(self) -> None:
        """Close every connection and the socket. Raises the error of a filter, if there was one."""
        self.cut()
        self._run(_close_remaining())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT)
        self._loop.close()
        self.socket_path.unlink(missing_ok=True)
        if self._failure:
            raise self._failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cut(self) -> None:
        """Close every connection and refuse new ones, as if the server were down."""
        self._run(self._close_all())

    def hang(self) -> None:
        """Accept connections but forward nothing in either direction, as if the server hung. No bytes are lost."""
        self._run(self._accept_connections(forwarding=False))

    def restore(self) -> None:
        """Accept and forward again."""
        self._run(self._accept_connections(forwarding=True))

    def filter(self) -> Filter:
        """The filter for a new connection."""
        return Filter()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT)

    async def _accept_connections(self, *, forwarding: bool) -> None:
        if forwarding:
            self._forwarding.set()
        else:
            self._forwarding.clear()
        if not self._server:
            self._server = await asyncio.start_unix_server(self._accept, self.socket_path, limit=CHUNK)

    async def _close_all(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        open_connections = set(self._open)
        for connection in open_connections:
            connection.cancel()
        if open_connections:
            await asyncio.wait(open_connections)
        self.cut_connections += len(open_connections)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if not self._server:
            # The connection was accepted just before a cut.
            writer.transport.abort()
            return
        connection = asyncio.ensure_future(self._serve(reader, writer))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)
        self.connections += 1

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with _closing(writer):
                await self._forwarding.wait()
                server_reader, server_writer = await asyncio.open_unix_connection(self.target, limit=CHUNK)
                async with _closing(server_writer):
                    filter_ = self.filter()
                    await _first_of(
                        self._forward(reader, server_writer, filter_.request),
                        self._forward(server_reader, writer, filter_.reply),
                    )
        except OSError:
            # Client or server has closed, or the server is down: the connection ends.
            return
        except Exception as failure:  # noqa: BLE001  # stop() raises it in the test
            self._failure = failure

    async def _forward(
        self, source: StreamReader, sink: StreamWriter, filter_: Callable[[bytes], bytes | bytearray]
    ) -> None:
        while data := await source.read(CHUNK):
            await self._forwarding.wait()
            self.forwarded += len(data)
            try:
                sink.write(filter_(data))
            except ConnectionCut as end:
                sink.write(end.before)
                self.cut_connections += 1
                return
            await sink.drain()


@asynccontextmanager
async def _closing(writer: StreamWriter) -> AsyncIterator[None]:
    """Send what was written and close; after a cut, close at once."""
    try:
        yield
        writer.close()
        await writer.wait_closed()
    finally:
        writer.transport.abort()


async def _first_of(*directions: Coroutine[Any, Any, None]) -> None:
    """Wait until one direction has ended and cancel the others. Raises its error."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def _close_remaining() -> None:
    """Cancel connections that are just being accepted, and run the loop once more so that sockets close."""
    remaining = asyncio.all_tasks() - {asyncio.current_task()}
    for task in remaining:
        task.cancel()
    await asyncio.gather(*remaining, return_exceptions=True)
    await asyncio.sleep(0)
