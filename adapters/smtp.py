"""Mail by SMTP, or none at all."""

import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from typing import Self

from pydantic import SecretStr

from adapters.external_text import single_line
from provisioning.ports import Mail, Refused, TryAgain
from runtime.settings import Settings

ANSWER_WITHIN = 10.0
"""Seconds for each answer of the relay."""


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """A new connection per mail: there are few, and relays close idle ones."""

    host: str
    port: int
    sender: str
    username: str
    password: SecretStr
    starttls: bool

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The mailer that the settings ask for."""
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            sender=settings.mail_from,
            username=settings.smtp_username,
            password=settings.smtp_password,
            starttls=settings.smtp_starttls,
        )

    def send(self, mail: Mail) -> None:
        """Hand one mail to the relay. Raises Refused when it will never take it; anything else may pass."""
        message = compose(mail, self.sender)
        try:
            # Its own idea of our name would be looked up in the DNS first, which may take longer than the mail.
            name = socket.gethostname()
            with smtplib.SMTP(self.host, self.port, local_hostname=name, timeout=ANSWER_WITHIN) as relay:
                self._introduce(relay)
                relay.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            raise _judged(error, mail.to) from error

    def _introduce(self, relay: smtplib.SMTP) -> None:
        if self.starttls:
            # Raises when the relay offers none: nothing may go out in the clear that was meant to be secret.
            relay.starttls(context=ssl.create_default_context())
        if self.username:
            relay.login(self.username, self.password.get_secret_value())


class NoMail:
    """Stands in where no relay is set. The feed must not say that a mail was sent which was not."""

    def send(self, mail: Mail) -> None:
        """Raise Refused, for the timeline to show."""
        raise Refused(f"No mail relay is set (TENANTRY_SMTP_HOST): {single_line(mail.subject)!r} was not sent.")


def compose(mail: Mail, sender: str) -> EmailMessage:
    """Write the message. Raises Refused when the recipient is no address."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _sender(sender)
    message["To"] = _recipient(mail.to)
    # A tenant's name is free text and gets into subjects: a line feed would begin a header of its own.
    message["Subject"] = single_line(mail.subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=_sender(sender).domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


def _sender(sender: str) -> Address:
    name, address = parseaddr(sender)
    return Address(display_name=name, addr_spec=address)


def _recipient(address: str) -> Address:
    try:
        return Address(addr_spec=address)
    except (ValueError, IndexError, MessageError) as error:  # the library's parser raises IndexError for "ada@"
        raise Refused("The first administrator's is not an address that mail can be sent to.") from error


def _judged(error: smtplib.SMTPRecipientsRefused, recipient: str) -> Exception:
    code, reason = next(iter(error.recipients.values()))
    # Not everybody who reads the timeline may know who administers the tenant, and relays like to quote.
    said = re.sub(re.escape(recipient), "the recipient", reason.decode(errors="replace"), flags=re.IGNORECASE)
    kind = Refused if code >= 500 else TryAgain
    return kind(f"The mail relay refuses the recipient ({code}): {single_line(said)}")
