"""Hints are sent after the commit, many in one statement, and only to processes that listen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlmodel import Session

from provisioning.events import CANCEL_CHANNEL, FEED_CHANNEL
from runtime import hints
from runtime.connections import connect
from runtime.database import outbox_of
from runtime.hints import ANNOUNCE, Hint, HintSender, NotifyCarrier
from tests.run_harness import RunHarness
from tests.scratch_database import scratch_database
from tests.waiting import wait_until


@contextmanager
def listening(url: str, *channels: str, announced: bool = True) -> Iterator[psycopg.Connection[Any]]:
    with connect(url, "tenantry-test", autocommit=True) as connection:
        for channel in channels:
            connection.execute(f"LISTEN {channel}".encode())
        if announced:
            connection.execute(ANNOUNCE)
        yield connection


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    """A database in which no process of the product listens."""
    with scratch_database(database_url) as url:
        yield url


def heard(connection: psycopg.Connection[Any], count: int, within: float = 5.0) -> list[str]:
    return [notice.payload for notice in connection.notifies(timeout=within, stop_after=count)]


def hints_kept_by(harness: RunHarness) -> list[Hint]:
    """The hints of the harness from now on, which are not sent."""
    kept: list[Hint] = []
    harness.database.hint = kept.extend
    return kept


def test_a_commit_that_writes_an_event_sends_no_notify_itself(harness: RunHarness) -> None:
    statements: list[str] = []
    engine = harness.database.engine
    kept = hints_kept_by(harness)

    def remember(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", remember)
    try:
        harness.create()
        harness.cancel()
    finally:
        event.remove(engine, "before_cursor_execute", remember)

    assert statements
    assert not [statement for statement in statements if "notify" in statement.lower()]
    assert {hint.payload.split()[1] for hint in kept} == {str(harness.tenant_id)}


def test_the_cancel_of_a_step_that_runs_is_hinted_at_once_with_the_id_of_the_run(harness: RunHarness) -> None:
    harness.create()
    harness.claim()
    kept = hints_kept_by(harness)

    harness.cancel()

    assert Hint(CANCEL_CHANNEL, str(harness.run().id), urgent=True) in kept


def test_a_rolled_back_transaction_sends_no_hint(harness: RunHarness) -> None:
    kept = hints_kept_by(harness)

    def hint_and_fail(session: Session) -> None:
        outbox_of(session).append(Hint(FEED_CHANNEL, "acme - event"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        harness.database.transact(hint_and_fail)

    assert kept == []


def test_hints_are_sent_only_while_a_listener_has_announced_itself(empty: str) -> None:
    quiet, urgent = Hint(FEED_CHANNEL, "acme - event"), Hint(CANCEL_CHANNEL, "a run", urgent=True)
    with (
        connect(empty, "tenantry-test", autocommit=True) as sending,
        listening(empty, FEED_CHANNEL, CANCEL_CHANNEL, announced=False) as old,
    ):
        assert not hints.send(sending, [quiet])
        assert hints.send(sending, [quiet, urgent])
        assert heard(old, 1) == ["a run"]

        old.execute(ANNOUNCE)
        assert hints.send(sending, [quiet, quiet])
        assert heard(old, 2, within=0.2) == ["acme - event"]


def test_the_sender_sends_what_gathers_meanwhile_in_one_statement(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    original = hints.send

    def counted(connection: psycopg.Connection[Any], batch: list[Hint]) -> bool:
        batches.append(len(batch))
        return original(connection, batch)

    monkeypatch.setattr(hints, "send", counted)
    with listening(empty, FEED_CHANNEL) as connection:
        sender = HintSender(NotifyCarrier(empty))
        for number in range(500):
            sender([Hint(FEED_CHANNEL, f"acme {number} event")])
        sender.close()

        assert heard(connection, 500) == [f"acme {number} event" for number in range(500)]
    assert sum(batches) == 500
    assert len(batches) < 100


def test_the_sender_sends_again_when_its_connection_was_lost(empty: str) -> None:
    sender = HintSender(NotifyCarrier(empty))
    with listening(empty, FEED_CHANNEL) as connection:
        sender([Hint(FEED_CHANNEL, "first - event")])
        assert heard(connection, 1) == ["first - event"]
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenantry-hints'"
        connection.execute(terminate)
        sender([Hint(FEED_CHANNEL, "second - event")])
        assert heard(connection, 1) == ["second - event"]
    sender.close()


def test_a_sender_that_never_sent_closes_without_a_thread(empty: str) -> None:
    sender = HintSender(NotifyCarrier(empty))
    sender.close()
    sender([Hint(FEED_CHANNEL, "late - event")])

    assert sender._thread is None


def test_the_sender_drops_hints_while_there_is_no_database(caplog: pytest.LogCaptureFixture) -> None:
    sender = HintSender(NotifyCarrier("postgresql://nowhere@/nowhere?host=%2Fdoes%2Fnot%2Fexist"))
    with caplog.at_level(logging.WARNING):
        sender([Hint(FEED_CHANNEL, "lost - event")])
        wait_until(lambda: "hints lost" in caplog.text)
    sender.close()
