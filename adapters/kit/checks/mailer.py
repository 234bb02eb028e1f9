"""A mail is handed over, or it is said that it was not."""

import pytest

from adapters.kit.case import Case, fails_for_now, not_tried
from provisioning.ports import Mail, Refused


def test_a_mail_is_handed_over(case: Case) -> None:
    """It raised although the relay is well."""
    recipient = case.subject.mail_to or not_tried("--mail-to")

    case.adapter.send(Mail(recipient, "A mail of the kit", "Sent by python -m adapters.kit.\n"))


@pytest.mark.parametrize("address", ["", "ada", "ada@example.com\r\nBcc: eve@example.com"])
def test_what_is_no_address_is_refused(case: Case, address: str) -> None:
    """It is tried five times in vain, or, with a line feed in it, reaches somebody who was not meant."""
    with pytest.raises(Refused):
        case.adapter.send(Mail(address, "A mail of the kit", "Hello.\n"))


def test_a_relay_that_is_away_may_come_back(case: Case) -> None:
    """The feed says that a mail was sent which was not, or nobody tries again."""
    unreachable = case.unreachable()

    fails_for_now(lambda: unreachable.adapter.send(Mail("ada@example.com", "A mail of the kit", "Hello.\n")))
