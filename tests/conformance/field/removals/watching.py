"""Without what lets a reader miss nothing, and leave nothing behind."""

import pytest
from sqlalchemy import BigInteger, cast, literal

from provisioning import history
from resolvers import audit, following
from runtime.feed import Feed
from tests.conformance.field.removals import removal


@removal
def no_cursors_in_subscriptions(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes back begins as if he had never been there."""
    patch.setattr(following, "given", lambda _: None)
    patch.setattr(audit, "given", lambda _: None)


@removal
def no_waiting_for_late_commits(patch: pytest.MonkeyPatch) -> None:
    """A reader is given what is there, though an earlier transaction is still open."""
    patch.setattr(history, "_horizon", lambda: cast(literal(history.LARGEST), BigInteger))


@removal
def no_farewell_to_watchers(patch: pytest.MonkeyPatch) -> None:
    """Who stops watching stays on the list."""
    patch.setattr(Feed, "_leave", lambda *_: None)
