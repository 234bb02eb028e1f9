"""graphql-transport-ws, frame by frame: what is answered, and what closes a socket with which code."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from models import Role
from tests.api import PROTOCOL, TIMEOUT, Api, Client, Facts
from tests.run_harness import RunHarness

WHO = {"query": "{ viewer { actor { displayName } } }"}
FOLLOW = {"query": "subscription { auditEventAdded { type } }"}


@contextmanager
def opened(api: Api) -> Iterator[ClientConnection]:
    """A socket whose client has not said who it is."""
    with connect(f"ws://{api.address}/graphql", subprotocols=[PROTOCOL], proxy=None, close_timeout=2) as socket:
        yield socket


def tell(socket: ClientConnection, kind: str, **more: object) -> None:
    socket.send(json.dumps({"type": kind, **more}))


def hear(socket: ClientConnection) -> Facts:
    message: Facts = json.loads(socket.recv(TIMEOUT))
    return message


def introduce(socket: ClientConnection, client: Client) -> None:
    tell(socket, "connection_init", payload={"authorization": client.authorization})


def closed_with(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(TIMEOUT)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a_ping_is_answered_at_any_time(api: Api, owner: Client) -> None:
    with opened(api) as socket:
        tell(socket, "ping")
        before = hear(socket)
        introduce(socket, owner)
        acknowledged = hear(socket)
        tell(socket, "ping", payload={"sent": 1})
        after = hear(socket)

    assert before == after == {"type": "pong"}
    assert acknowledged == {"type": "connection_ack"}


def test_a_pong_that_nobody_asked_for_is_put_up_with(owner: Client) -> None:
    with owner.connected() as socket:
        tell(socket, "pong")
        tell(socket, "pong", payload={"sent": 1})
        tell(socket, "ping")

        assert hear(socket) == {"type": "pong"}


def test_subscribing_before_the_acknowledgement_closes_with_4401(api: Api) -> None:
    with opened(api) as socket:
        tell(socket, "subscribe", id="1", payload=WHO)

        assert closed_with(socket) == 4401


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}, {"payload": {"authorization": 5}}])
def test_an_introduction_without_a_token_closes_with_4401(api: Api, payload: Facts) -> None:
    with opened(api) as socket:
        tell(socket, "connection_init", **payload)

        assert closed_with(socket) == 4401


@pytest.mark.parametrize("kind", ["connection_init", "ping", "pong"])
@pytest.mark.parametrize("payload", [[], "x", 1, True])
def test_a_payload_that_is_no_object_closes_with_4400(api: Api, kind: str, payload: object) -> None:
    with opened(api) as socket:
        tell(socket, kind, payload=payload)

        assert closed_with(socket) == 4400


def test_a_binary_frame_closes_with_4400(owner: Client) -> None:
    with owner.connected() as socket:
        socket.send(b'{"type": "ping"}')

        assert closed_with(socket) == 4400


def test_a_second_introduction_closes_with_4429_whoever_it_names(api: Api, harness: RunHarness, owner: Client) -> None:
    for another in (owner, api.member(harness.organisation.id, Role.VIEWER), Client(api.address, "Bearer nonsense")):
        with owner.connected() as socket:
            introduce(socket, another)

            assert closed_with(socket) == 4429


def test_an_id_is_free_again_when_its_operation_has_ended(owner: Client) -> None:
    with owner.connected() as socket:
        for _ in range(2):
            tell(socket, "subscribe", id="1", payload=WHO)
            assert hear(socket)["type"] == "next"
            assert hear(socket) == {"type": "complete", "id": "1"}


def test_a_client_that_completes_hears_nothing_more_and_may_use_the_id_again(owner: Client) -> None:
    with owner.connected() as socket:
        tell(socket, "subscribe", id="1", payload=FOLLOW)
        tell(socket, "complete", id="1")
        tell(socket, "complete", id="1")
        tell(socket, "complete", id="never begun")
        tell(socket, "subscribe", id="1", payload=WHO)

        assert hear(socket)["type"] == "next"
        assert hear(socket) == {"type": "complete", "id": "1"}
        tell(socket, "ping")
        assert hear(socket) == {"type": "pong"}


def test_a_fault_of_ours_ends_its_operation_and_frees_its_id(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.graphql.websocket._limit_errors", lambda _: 1 / 0)
    with owner.connected() as socket:
        for _ in range(2):
            tell(socket, "subscribe", id="1", payload=WHO)
            broken = hear(socket)
            assert (broken["type"], broken["id"]) == ("error", "1")
            extensions = broken["payload"][0]["extensions"]
            assert (extensions["code"], len(extensions["requestId"])) == ("INTERNAL_SERVER_ERROR", 32)
