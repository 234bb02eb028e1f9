"""The mailer over SMTP, or without a relay one that refuses all mail."""

import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Self

from pydantic import SecretStr

from adapters.external_text import message_from, single_line
from provisioning.ports import Mail, Refused, Scarce, TryAgain
from runtime import email_addresses
from runtime.settings import Settings

FINAL = 500
"""The lowest SMTP code of a final refusal. Codes from 400 on ask for another attempt later."""

REPLY_TIMEOUT = 10.0
"""Seconds for each reply of the relay."""


@dataclass(frozen=True, slots=True)
class SmtpMailer:
    """Opens a new connection per mail, because mails are few and relays close idle connections."""

    host: str
    port: int
    sender: str
    username: str
    password: SecretStr
    starttls: bool

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Create the mailer from the settings."""
        return cls(
            host=settings.smtp_host,
            port=settings.smtp_port,
            sender=settings.mail_from,
            username=settings.smtp_username,
            password=settings.smtp_password,
            starttls=settings.smtp_starttls,
        )

    def send(self, mail: Mail) -> None:
        """Send one mail to the relay. Raises Refused when the relay refuses this mail permanently, Scarce otherwise.

        What keeps every mail from being sent, such as a wrong password, is temporary: an operator can repair it.
        """
        message, accepted = compose(mail, self.sender), False
        try:
            # Without a name, smtplib looks one up in the DNS, which may take longer than the mail.
            name = socket.gethostname()
            with smtplib.SMTP(self.host, self.port, local_hostname=name, timeout=REPLY_TIMEOUT) as relay:
                self._authenticate(relay)
                try:
                    relay.send_message(message)
                except (smtplib.SMTPException, UnicodeError) as error:
                    raise _refusal_or_retry(error, mail.to) from error
                accepted = True
        except (smtplib.SMTPException, OSError) as error:
            if not accepted:  # otherwise only the farewell failed
                raise Scarce(_words_of(error, mail.to)) from error

    def _authenticate(self, relay: smtplib.SMTP) -> None:
        if self.starttls:
            # Raises when the relay does not offer STARTTLS: the password must not be sent unencrypted.
            relay.starttls(context=ssl.create_default_context())
        if self.username:
            relay.login(self.username, self.password.get_secret_value())


class NoMail:
    """The mailer without a relay. It refuses every mail, so that the feed does not say that it was sent."""

    def send(self, mail: Mail) -> None:
        """Raise Refused, which the timeline shows."""
        raise Refused(f"{single_line(mail.subject)!r} was not sent: no mail relay is set (TENANTRY_SMTP_HOST).")


def compose(mail: Mail, sender: str) -> EmailMessage:
    """Build the message. Raises Refused when the recipient is not a valid address."""
    message = EmailMessage(policy=SMTP)
    message["From"] = email_addresses.mailbox(sender)
    message["To"] = _recipient(mail.to)
    # A subject contains the tenant's name, which is free text: a line feed in it would start another header.
    message["Subject"] = single_line(mail.subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=email_addresses.mailbox(sender).domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


def _recipient(address: str) -> Address:
    try:
        local, _, domain = email_addresses.normal_form(address).rpartition("@")
    except email_addresses.InvalidAddress as error:
        raise Refused("The mail address of the first administrator is not valid.") from error
    return Address(username=local, domain=domain)


def _refusal_or_retry(error: Exception, recipient: str) -> TryAgain | Refused:
    """What the relay's answer to this mail means: 5xx is final, and so is an address that it cannot take."""
    final = isinstance(error, smtplib.SMTPNotSupportedError | UnicodeError) or _code_of(error) >= FINAL
    return (Refused if final else Scarce)(_words_of(error, recipient))


def _words_of(error: Exception, recipient: str) -> str:
    """What happened, without the recipient: not every reader of the timeline may know the administrator."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, reason = next(iter(error.recipients.values()))
            return f"The mail relay refused the recipient ({code}): {_without(recipient, reason)}"
        case smtplib.SMTPResponseException():
            return f"The mail relay refused the mail ({error.smtp_code}): {_without(recipient, error.smtp_error)}"
        case OSError() if error.strerror:
            return f"The mail relay did not respond: {_without(recipient, error.strerror)}"
        case _:
            return f"The mail was not sent: {_without(recipient, str(error)) or type(error).__name__}"


def _code_of(error: Exception) -> int:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return int(next(iter(error.recipients.values()))[0])
        case smtplib.SMTPResponseException():
            return error.smtp_code
        case _:
            return 0


def _without(recipient: str, said: bytes | str) -> str:
    """One line without e-mail addresses. Relays quote the recipient, in another case or with another address beside."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    text = re.sub(re.escape(recipient), "the recipient", text, flags=re.IGNORECASE)
    # After the other addresses: "user ada is unknown" names the person too.
    local = re.escape(recipient.rpartition("@")[0])
    return re.sub(rf"(?<!\w){local}(?!\w)", "the recipient", message_from(text), flags=re.IGNORECASE)
