"""A proxy between two Unix sockets, whose server seems to vanish, to fall silent and to come back at a test's word."""

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

CHUNK = 1 << 20
"""Bytes that are read at once, and that may wait for a slow reader."""

PATIENCE = 10.0
"""Seconds that a test waits for the relay to do as it was told."""


class Severed(Exception):
    """What a filter raises to end its link. ``before`` is what still goes through."""

    def __init__(self, before: bytes | bytearray) -> None:
        super().__init__()
        self.before = before


class Filter:
    """What one link does to the bytes it carries: nothing. It lives on the relay's thread."""

    def request(self, data: bytes) -> bytes | bytearray:
        """What of a client's bytes goes on to the server. Raises Severed."""
        return data

    def reply(self, data: bytes) -> bytes | bytearray:
        """What of the server's bytes goes on to the client. Raises Severed."""
        return data


class Relay:
    """Listens on one socket and carries every link to another. May be told what to do from any thread.

    ``links`` counts those that were accepted, ``severed`` those that the relay ended itself, ``carried`` bytes.
    """

    def __init__(self, target: Path, listen: Path) -> None:
        self.target = target
        self.listen = listen
        self.links = 0
        self.severed = 0
        self.carried = 0
        self._live: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        """Listen, and carry whatever comes."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"relay at {self.listen}", daemon=True)
        self._thread.start()
        self.mend()

    def stop(self) -> None:
        """End every link, and leave nothing behind. Raises what a filter stumbled over."""
        self.cut()
        self._do(_end_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        self.listen.unlink(missing_ok=True)
        if self._failure:
            raise self._failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cut(self) -> None:
        """End every link now and refuse new ones, as a server does that is away."""
        self._do(self._end_all())

    def hang(self) -> None:
        """Accept, and carry nothing in either direction, as a server does that is silent. Nothing is lost by it."""
        self._do(self._listen(flowing=False))

    def mend(self) -> None:
        """Accept and carry again."""
        self._do(self._listen(flowing=True))

    def filter(self) -> Filter:
        """The filter for a new link."""
        return Filter()

    def _do(self, order: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(order, self._loop).result(PATIENCE)

    async def _listen(self, *, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()
        if not self._server:
            self._server = await asyncio.start_unix_server(self._accept, self.listen, limit=CHUNK)

    async def _end_all(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        live = set(self._live)
        for link in live:
            link.cancel()
        if live:
            await asyncio.wait(live)
        self.severed += len(live)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        if not self._server:
            # It came just before a cut.
            writer.transport.abort()
            return
        link = asyncio.ensure_future(self._link(reader, writer))
        self._live.add(link)
        link.add_done_callback(self._live.discard)
        self.links += 1

    async def _link(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with _closing(writer):
                await self._flowing.wait()
                server_reader, server_writer = await asyncio.open_unix_connection(self.target, limit=CHUNK)
                async with _closing(server_writer):
                    through = self.filter()
                    await _first_of(
                        self._carry(reader, server_writer, through.request),
                        self._carry(server_reader, writer, through.reply),
                    )
        except OSError:
            # One of the two is gone, or the server is not there: the link ends, and that is all there is to tell.
            return
        except Exception as failure:  # noqa: BLE001  # it belongs to the test: stop() raises it
            self._failure = failure

    async def _carry(
        self, source: StreamReader, sink: StreamWriter, through: Callable[[bytes], bytes | bytearray]
    ) -> None:
        while data := await source.read(CHUNK):
            await self._flowing.wait()
            self.carried += len(data)
            try:
                sink.write(through(data))
            except Severed as end:
                sink.write(end.before)
                self.severed += 1
                return
            await sink.drain()


@asynccontextmanager
async def _closing(writer: StreamWriter) -> AsyncIterator[None]:
    """Let go out what was written, and close; after a cut, close at once."""
    try:
        yield
        writer.close()
        await writer.wait_closed()
    finally:
        writer.transport.abort()


async def _first_of(*directions: Coroutine[Any, Any, None]) -> None:
    """Return when one of them has ended, and end the others. Raises what it raised."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def _end_the_rest() -> None:
    """End also what was being accepted just now, and let the sockets be closed: closing takes another turn."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0)
