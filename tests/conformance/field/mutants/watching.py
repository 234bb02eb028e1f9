"""Without what lets a reader miss nothing, and leave nothing behind."""

import pytest
from sqlalchemy import BigInteger, cast, literal

from provisioning import audit_feed
from resolvers import audit, subscriptions
from runtime.feed import Feed
from tests.conformance.field.mutants import mutant


@mutant
def no_cursors_in_subscriptions(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes back begins as if he had never been there."""
    patch.setattr(subscriptions, "given", lambda _: None)
    patch.setattr(audit, "given", lambda _: None)


@mutant
def no_waiting_for_late_commits(patch: pytest.MonkeyPatch) -> None:
    """A reader is given what is there, though an earlier transaction is still open."""
    patch.setattr(audit_feed, "_horizon", lambda: cast(literal(audit_feed.MAX_BIGINT), BigInteger))


@mutant
def no_farewell_to_watchers(patch: pytest.MonkeyPatch) -> None:
    """Who stops watching stays on the list."""
    patch.setattr(Feed, "_remove", lambda *_: None)
