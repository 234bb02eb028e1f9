"""Mutants without the protections of followers of subscriptions or the feed."""

import pytest
from sqlalchemy import BigInteger, cast, literal

from provisioning import anchors, audit_feed
from resolvers import audit, subscriptions
from runtime.feed import Feed
from tests.conformance.field.mutants import mutant


@mutant
def no_subscription_cursors(patch: pytest.MonkeyPatch) -> None:
    """A subscription ignores its cursor."""
    patch.setattr(subscriptions, "given", lambda _: None)
    patch.setattr(audit, "given", lambda _: None)


@mutant
def no_wait_for_late_commits(patch: pytest.MonkeyPatch) -> None:
    """The feed returns events although an earlier transaction is still open."""
    patch.setattr(audit_feed, "_oldest_open_transaction", lambda: cast(literal(audit_feed.MAX_BIGINT), BigInteger))


@mutant
def no_unsubscribe_on_disconnect(patch: pytest.MonkeyPatch) -> None:
    """A disconnected watcher stays registered."""
    patch.setattr(Feed, "_remove", lambda *_: None)


@mutant
def no_check_of_cursors(patch: pytest.MonkeyPatch) -> None:
    """A reader continues after its cursor even if the database no longer has the event there."""
    patch.setattr(anchors, "check", lambda _: None)
