"""The SMTP mailer sends one mail to one recipient, without injected headers or recipients."""

import smtplib
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import SecretStr

from adapters.smtp import NoMail, SmtpMailer, _words_of
from provisioning.ports import Mail, Refused, Scarce
from tests.builders import settings_with
from tests.mail_relay import FreePortController, MailRelay

MAIL = Mail("ada@example.com", "Welcome to Shop", "Hello,\n\nShop is live.\n")


@pytest.fixture
def relay() -> MailRelay:
    return MailRelay()


Listen = Callable[..., SmtpMailer]


@pytest.fixture
def listen(relay: MailRelay) -> Iterator[Listen]:
    """Starts the relay and returns a mailer that sends to it."""
    started: list[Controller] = []

    def start(mailer: dict[str, Any] | None = None, **server: Any) -> SmtpMailer:
        controller = FreePortController(relay, hostname="127.0.0.1", **server)
        controller.start()
        started.append(controller)
        sender = "Shöp <no-reply@tenantry.example>"
        known = {"smtp_host": "localhost", "smtp_port": controller.port, "mail_from": sender}
        return SmtpMailer.of(settings_with("postgresql://unused", **known | (mailer or {})))

    yield start
    for controller in started:
        controller.stop()


def test_a_mail_arrives_with_its_sender_recipient_subject_and_text(relay: MailRelay, listen: Listen) -> None:
    listen().send(MAIL)

    [envelope] = relay.envelopes
    message = relay.message()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@tenantry.example", ["ada@example.com"])
    assert (message["From"], message["To"]) == ("Shöp <no-reply@tenantry.example>", "ada@example.com")
    assert message["Subject"] == "Welcome to Shop"
    assert message.get_content() == "Hello,\r\n\r\nShop is live.\r\n"


def test_a_mail_has_a_date_and_a_message_id(relay: MailRelay, listen: Listen) -> None:
    listen().send(MAIL)

    message = relay.message()
    assert message["Message-ID"].endswith("@tenantry.example>")
    assert abs(message["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_line_feed_in_a_subject_injects_no_header(relay: MailRelay, listen: Listen) -> None:
    listen().send(Mail("ada@example.com", "Welcome to Shop\r\nBcc: eve@example.com\n\nBuy!", "Hello"))

    [envelope] = relay.envelopes
    assert envelope.rcpt_tos == ["ada@example.com"]
    assert relay.message()["Bcc"] is None
    assert relay.message()["Subject"] == "Welcome to Shop Bcc: eve@example.com Buy!"


@pytest.mark.parametrize(
    "address", ["", "ada", "ada@", "ada@example.com, eve@example.com", "ada@example.com\r\nBcc: eve@example.com"]
)
def test_an_invalid_address_is_refused(relay: MailRelay, listen: Listen, address: str) -> None:
    mailer = listen()

    with pytest.raises(Refused):
        mailer.send(Mail(address, "Welcome", "Hello"))

    assert relay.envelopes == []


@pytest.mark.parametrize("address", ["ada@bücher.example", "ada@xn--bcher-kva.example", "ada@BU\u0308CHER.example"])
def test_an_international_domain_goes_over_the_wire_in_a_labels(relay: MailRelay, listen: Listen, address: str) -> None:
    listen({"mail_from": "Shop <no-reply@bücher.example>"}, enable_SMTPUTF8=False).send(Mail(address, "Hi", "Hello"))

    [envelope] = relay.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (
        "no-reply@xn--bcher-kva.example",
        ["ada@xn--bcher-kva.example"],
    )
    assert relay.message()["To"] == "ada@xn--bcher-kva.example"


def test_a_local_part_outside_of_ascii_is_refused_by_a_relay_without_smtputf8(relay: MailRelay, listen: Listen) -> None:
    with pytest.raises(Refused, match="SMTPUTF8"):
        listen(enable_SMTPUTF8=False).send(Mail("josé@example.com", "Hi", "Hello"))

    assert relay.envelopes == []


def test_a_local_part_outside_of_ascii_is_sent_to_a_relay_with_smtputf8(relay: MailRelay, listen: Listen) -> None:
    listen(enable_SMTPUTF8=True).send(Mail("jose\u0301@bücher.example", "Hi", "Hello"))

    assert relay.envelopes[0].rcpt_tos == ["josé@xn--bcher-kva.example"]


def test_an_emoji_of_several_parts_stays_whole_in_a_subject(relay: MailRelay, listen: Listen) -> None:
    listen().send(Mail("ada@example.com", "Welcome to 👨\u200d👩\u200d👧 & 山田", "Hello"))

    assert relay.message()["Subject"] == "Welcome to 👨\u200d👩\u200d👧 & 山田"


def test_a_mail_with_unicode_text_arrives_unchanged(relay: MailRelay, listen: Listen) -> None:
    listen().send(Mail("ada@example.com", "Willkommen bei Größe 店", "Grüße 👋\n"))

    assert (relay.message()["Subject"], relay.message().get_content()) == ("Willkommen bei Größe 店", "Grüße 👋\r\n")


def test_a_recipient_with_a_permanent_error_is_refused(relay: MailRelay, listen: Listen) -> None:
    relay.recipient_reply = "550 <ADA@example.com> is no such person"

    with pytest.raises(Refused) as refusal:
        listen().send(MAIL)

    assert str(refusal.value) == "The mail relay refused the recipient (550): <the recipient> is no such person"


STAGES = ["sender_reply", "recipient_reply", "message"]
TEXTS = ["<ada@example.com> is not known", "5.7.1 ADA@EXAMPLE.COM: no", "try again, ada@example.com", "no"]


def set_reply(relay: MailRelay, stage: str, reply: str) -> None:
    if stage == "message":
        relay.message_replies = [reply]
    else:
        setattr(relay, stage, reply)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [550, 552, 554])
def test_a_final_refusal_is_refused_at_every_stage_without_the_address(
    relay: MailRelay, listen: Listen, stage: str, code: int
) -> None:
    for text in TEXTS:
        set_reply(relay, stage, f"{code} {text}")

        with pytest.raises(Refused) as refusal:
            listen().send(MAIL)

        assert f"({code})" in str(refusal.value)
        assert "ada@example.com" not in str(refusal.value).lower()
    assert relay.envelopes == []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", [421, 450, 451, 452])
def test_a_temporary_refusal_is_waited_for_at_every_stage_without_the_address(
    relay: MailRelay, listen: Listen, stage: str, code: int
) -> None:
    for text in TEXTS:
        set_reply(relay, stage, f"{code} {text}")

        with pytest.raises(Scarce) as refusal:
            listen().send(MAIL)

        assert "ada@example.com" not in str(refusal.value).lower()
    assert relay.envelopes == []


def test_a_mail_that_was_accepted_is_not_sent_again_when_the_farewell_fails(relay: MailRelay, listen: Listen) -> None:
    relay.farewell = "421 The relay is closing"

    listen().send(MAIL)

    assert len(relay.envelopes) == 1


def test_a_mailer_with_starttls_sends_nothing_to_a_relay_without_it(relay: MailRelay, listen: Listen) -> None:
    mailer = listen({"smtp_starttls": True})

    with pytest.raises(Scarce, match="STARTTLS"):
        mailer.send(MAIL)

    assert relay.envelopes == []


def test_a_mailer_uses_starttls_and_its_login(
    relay: MailRelay, listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins: list[object] = []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_for("localhost", tmp_path)))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")

    def check(_s: object, _session: object, _e: object, _mechanism: str, given: LoginPassword) -> AuthResult:
        logins.append((given.login, given.password))
        return AuthResult(success=True)

    account = {"smtp_starttls": True, "smtp_username": "shop", "smtp_password": SecretStr("pa ss")}
    mailer = listen(account, tls_context=tls, require_starttls=True, authenticator=check, auth_required=True)
    mailer.send(MAIL)

    assert logins == [(b"shop", b"pa ss")]
    assert len(relay.envelopes) == 1


def test_a_relay_with_an_untrusted_certificate_gets_no_mail(relay: MailRelay, listen: Listen, tmp_path: Path) -> None:
    certificate_for("localhost", tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    mailer = listen({"smtp_starttls": True}, tls_context=tls)

    with pytest.raises(Scarce, match="certificate verify failed"):
        mailer.send(MAIL)

    assert relay.envelopes == []


def test_an_unreachable_relay_raises_and_is_not_a_refusal() -> None:
    mailer = SmtpMailer("127.0.0.1", 1, "no-reply@tenantry.example", "", SecretStr(""), starttls=False)

    with pytest.raises(Scarce, match="The mail relay did not respond: Connection refused"):
        mailer.send(MAIL)


def test_a_mail_without_a_configured_relay_is_refused() -> None:
    with pytest.raises(Refused, match="no mail relay is set"):
        NoMail().send(MAIL)


def certificate_for(name: str, folder: Path) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(issuer, issuer, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"User ada unknown in virtual mailbox table", "User the recipient unknown in virtual mailbox table"),
        (b'mailbox "ADA" is full', 'mailbox "the recipient" is full'),
        (b"no ada@mx.internal, see ada-1 or adapters", "no ***@mx.internal, see the recipient-1 or adapters"),
    ],
)
def test_a_reply_that_quotes_the_local_part_alone_does_not_name_the_recipient(said: bytes, shown: str) -> None:
    error = smtplib.SMTPDataError(554, said)

    assert _words_of(error, MAIL.to) == f"The mail relay refused the mail (554): {shown}"
