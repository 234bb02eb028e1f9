"""Whoever commits waits for the broker once, and briefly."""

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
    """The address of a broker that lets everybody in and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@contextmanager
def dispatcher_to(redis_url: str) -> Iterator[Dispatcher]:
    one = Dispatcher(settings_with("postgresql://nowhere", redis_url=redis_url))
    yield one
    one.close()


def seconds_to_send(one: Dispatcher) -> float:
    began = time.monotonic()
    one([WakeUp(uuid4(), Forward("validate_request"))] * 3)
    return time.monotonic() - began


def test_a_broker_that_hangs_delays_one_commit_by_half_a_second_and_the_next_not_at_all() -> None:
    with silent_server() as address, dispatcher_to(address) as one:
        first, second = seconds_to_send(one), seconds_to_send(one)

    # A wait for the broker lasts BROKER_TIMEOUT (0.5 s): half of it, and as much again, are for a machine that is busy.
    assert 0.8 * dispatcher.BROKER_TIMEOUT < first < 2 * dispatcher.BROKER_TIMEOUT
    assert second < dispatcher.BROKER_TIMEOUT / 2


def test_a_broker_that_hangs_is_left_alone_for_longer_than_one_that_hangs_up() -> None:
    with silent_server() as address, dispatcher_to(address) as hanging, dispatcher_to("redis://127.0.0.1:1/0") as away:
        seconds_to_send(away)
        seconds_to_send(hanging)
        now = time.monotonic()

    assert hanging._paused_until - now == pytest.approx(dispatcher.PAUSE_AFTER_TIMEOUT, abs=0.5)
    assert away._paused_until - now <= dispatcher.PAUSE_AFTER_ERROR


def test_a_broker_that_is_away_tells_no_backlog_and_is_then_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with dispatcher_to("redis://127.0.0.1:1/0") as one:
        assert one.backlog(FORWARD_QUEUE) is None

        monkeypatch.setattr(one._broker.client, "llen", lambda _: pytest.fail("it rests"))
        assert one.backlog(FORWARD_QUEUE) is None
