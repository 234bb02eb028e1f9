"""The mail catcher, which stores every mail of the product as an .eml file."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"


class Catcher:
    """Stores received mails. aiosmtpd calls its method handle_DATA."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # its name
        """Store one mail, atomically."""
        content = envelope.original_content or b""
        path = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{_label(envelope.rcpt_tos)}.eml"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.rename(path)
        return "250 Caught"


def _label(recipients: list[str]) -> str:
    return re.sub(r"[^A-Za-z0-9.@-]+", "_", recipients[0] if recipients else "no-recipient")[:80]


@contextmanager
def mail_catcher(folder: Path) -> Iterator[int]:
    """Receive mails until the end of the block. Yields the port."""
    folder.mkdir(mode=0o700, exist_ok=True)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: SMTP(Catcher(folder), loop=loop), HOST, 0))
    thread = threading.Thread(target=loop.run_forever, name="mail catcher", daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
