"""A mail is sent to the relay, or the mailer raises."""

import pytest

from adapters.kit.check_context import CheckContext, assert_fails_temporarily, skip_without
from provisioning.ports import Mail, Refused


def test_a_mail_is_sent_to_the_relay(context: CheckContext) -> None:
    """The mailer raised although the relay works."""
    recipient = context.subject.mail_to or skip_without("--mail-to")

    context.adapter.send(Mail(recipient, "A mail of the kit", "Sent by python -m adapters.kit.\n"))


@pytest.mark.parametrize("address", ["", "ada", "ada@example.com\r\nBcc: eve@example.com"])
def test_an_invalid_address_is_refused(context: CheckContext, address: str) -> None:
    """The mail is retried in vain, or a line feed in the address adds a recipient."""
    with pytest.raises(Refused):
        context.adapter.send(Mail(address, "A mail of the kit", "Hello.\n"))


def test_an_unreachable_relay_is_not_a_refusal(context: CheckContext) -> None:
    """The feed says that the mail was sent, or it is not retried."""
    unreachable = context.unreachable()

    assert_fails_temporarily(lambda: unreachable.adapter.send(Mail("ada@example.com", "A mail of the kit", "Hello.\n")))
