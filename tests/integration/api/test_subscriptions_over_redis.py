"""The tests of subscriptions again, with hints over Redis and without the poll that finds what was not hinted."""

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.settings import HintCarrier, settings
from tests.api import Api, running_api
from tests.integration.api import test_audit_subscription, test_subscriptions
from tests.run_harness import RunHarness, new_run_harness
from workers.redis_hints import hint_sender

OF_THE_POLL = {
    "test_a_heartbeat_of_a_step_without_progress_is_delivered_as_progress",
    "test_an_entry_without_a_notification_is_delivered_by_the_poll",
    "test_watchers_of_what_does_not_change_read_nothing",
}
"""Tests of the poll itself, and of heartbeats, which only the poll finds."""

OF_POSTGRES = {"test_the_change_feed_listens_again_after_its_connection_was_terminated"}

for module in (test_subscriptions, test_audit_subscription):
    globals().update({name: value for name, value in vars(module).items() if name not in globals()})

for name in OF_POSTGRES:
    del globals()[name]


@pytest.fixture(scope="module")
def api(database_url: str, redis_url: str) -> Iterator[Api]:
    with running_api(settings().model_copy(update={"hints": HintCarrier.REDIS})) as running:
        yield running


@pytest.fixture
def harness(api: Api, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[RunHarness]:
    async def nothing(_: Any) -> None:
        return

    if request.node.originalname not in OF_THE_POLL:
        monkeypatch.setattr(api.services.feed, "poll_once", nothing)
    built, sender = new_run_harness(settings()), hint_sender(api.settings)
    built.database.hint = sender
    yield built
    built.faults.release_all()
    sender.close()
