"""A mail relay on a local port that keeps the envelopes it accepts."""

import socket
from asyncio import AbstractServer
from collections.abc import Coroutine
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope


class MailRelay:
    """Answers sender, recipient and message with the replies that are set, and keeps the envelopes it accepts.

    ``message_replies`` are the replies to the next messages; those after them are accepted.
    """

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.sender_reply = "250 OK"
        self.recipient_reply = "250 OK"
        self.message_replies: list[str] = []
        self.farewell = "221 Bye"

    async def handle_MAIL(  # noqa: N802  # a name that aiosmtpd requires
        self, _s: Any, _session: Any, envelope: Envelope, address: str, _o: list[str]
    ) -> str:
        if self.sender_reply.startswith("250"):
            envelope.mail_from = address
        return self.sender_reply

    async def handle_QUIT(self, _s: Any, _session: Any, _e: Envelope) -> str:  # noqa: N802  # a name that aiosmtpd requires
        return self.farewell

    async def handle_RCPT(  # noqa: N802  # a name that aiosmtpd requires
        self, _s: Any, _session: Any, envelope: Envelope, address: str, _o: list[str]
    ) -> str:
        if self.recipient_reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_reply

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802  # a name that aiosmtpd requires
        reply = self.message_replies.pop(0) if self.message_replies else "250 OK"
        if reply.startswith("250"):
            self.envelopes.append(envelope)
        return reply

    def message(self) -> EmailMessage:
        """The message of the only envelope."""
        [envelope] = self.envelopes
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


class FreePortController(Controller):
    """Listens on a free port: the base class needs the port's number before it listens."""

    def _create_server(self) -> Coroutine[Any, Any, AbstractServer]:
        listener = socket.create_server((self.hostname, 0))
        self.port = listener.getsockname()[1]
        return self.loop.create_server(self._factory_invoker, sock=listener)
