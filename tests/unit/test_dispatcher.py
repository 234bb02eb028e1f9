"""An unavailable broker delays one commit, by at most its timeout."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from provisioning.moves import Forward
from provisioning.wakeups import WakeUp
from tests.builders import settings_with
from workers import dispatcher
from workers.broker import FORWARD_QUEUE
from workers.dispatcher import Dispatcher


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a broker that accepts connections and never replies."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@contextmanager
def dispatcher_to(redis_url: str) -> Iterator[Dispatcher]:
    sender = Dispatcher(settings_with("postgresql://nowhere", redis_url=redis_url))
    yield sender
    sender.close()


def seconds_to_send(sender: Dispatcher) -> float:
    began = time.monotonic()
    sender([WakeUp(uuid4(), Forward("validate_request"))] * 3)
    return time.monotonic() - began


def test_a_broker_that_hangs_delays_one_commit_by_half_a_second_and_the_next_not_at_all() -> None:
    with silent_server() as address, dispatcher_to(address) as sender:
        first, second = seconds_to_send(sender), seconds_to_send(sender)

    # A wait for the broker lasts BROKER_TIMEOUT (0.5 s): half of it, and as much again, allow for a busy machine.
    assert 0.8 * dispatcher.BROKER_TIMEOUT < first < 2 * dispatcher.BROKER_TIMEOUT
    assert second < dispatcher.BROKER_TIMEOUT / 2


def test_the_pause_after_a_timeout_is_longer_than_after_a_refused_connection() -> None:
    with (
        silent_server() as address,
        dispatcher_to(address) as hanging,
        dispatcher_to("redis://127.0.0.1:1/0") as refused,
    ):
        seconds_to_send(refused)
        seconds_to_send(hanging)
        now = time.monotonic()

    assert hanging._paused_until - now == pytest.approx(dispatcher.PAUSE_AFTER_TIMEOUT, abs=0.5)
    assert refused._paused_until - now <= dispatcher.PAUSE_AFTER_ERROR


def test_the_backlog_of_an_unavailable_broker_is_unknown_and_a_pause_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    with dispatcher_to("redis://127.0.0.1:1/0") as sender:
        assert sender.backlog(FORWARD_QUEUE) is None

        monkeypatch.setattr(
            sender._broker.client, "llen", lambda _: pytest.fail("the dispatcher used the broker during its pause")
        )
        assert sender.backlog(FORWARD_QUEUE) is None
