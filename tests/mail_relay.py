"""A mail relay on a local port that keeps what arrives."""

import socket
from asyncio import AbstractServer
from collections.abc import Coroutine
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope


class MailRelay:
    """Keeps what arrives; ``verdict`` is what it says to every recipient."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.verdict = "250 OK"

    async def handle_RCPT(  # noqa: N802  # aiosmtpd looks for this name
        self, _s: Any, _session: Any, envelope: Envelope, address: str, _o: list[str]
    ) -> str:
        if self.verdict.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.verdict

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd looks for this name
        self.envelopes.append(envelope)
        return "250 OK"

    def message(self) -> EmailMessage:
        [envelope] = self.envelopes
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


class FreePortController(Controller):
    """The library wants to know the port before there is one."""

    def _create_server(self) -> Coroutine[Any, Any, AbstractServer]:
        listener = socket.create_server((self.hostname, 0))
        self.port = listener.getsockname()[1]
        return self.loop.create_server(self._factory_invoker, sock=listener)
