"""The graphql-transport-ws protocol: the server's messages, and the code with which it closes each websocket."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from models import Role
from tests.api import PROTOCOL, TIMEOUT, Api, Client, Facts
from tests.run_harness import RunHarness

QUERY = {"query": "{ viewer { actor { displayName } } }"}
SUBSCRIPTION = {"query": "subscription { auditEventAdded { type } }"}


@contextmanager
def open_websocket(api: Api) -> Iterator[ClientConnection]:
    """A websocket before connection_init."""
    with connect(f"ws://{api.address}/graphql", subprotocols=[PROTOCOL], proxy=None, close_timeout=2) as socket:
        yield socket


def send(socket: ClientConnection, kind: str, **fields: object) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def receive(socket: ClientConnection) -> Facts:
    message: Facts = json.loads(socket.recv(TIMEOUT))
    return message


def initialize(socket: ClientConnection, client: Client) -> None:
    send(socket, "connection_init", payload={"authorization": client.authorization})


def close_code(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(TIMEOUT)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a_ping_is_answered_at_any_time(api: Api, owner: Client) -> None:
    with open_websocket(api) as socket:
        send(socket, "ping")
        before = receive(socket)
        initialize(socket, owner)
        acknowledged = receive(socket)
        send(socket, "ping", payload={"sent": 1})
        after = receive(socket)

    assert before == after == {"type": "pong"}
    assert acknowledged == {"type": "connection_ack"}


def test_an_unsolicited_pong_is_ignored(owner: Client) -> None:
    with owner.connected() as socket:
        send(socket, "pong")
        send(socket, "pong", payload={"sent": 1})
        send(socket, "ping")

        assert receive(socket) == {"type": "pong"}


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}, {"payload": {"authorization": 5}}])
def test_connection_init_without_a_token_closes_with_4401(api: Api, payload: Facts) -> None:
    with open_websocket(api) as socket:
        send(socket, "connection_init", **payload)

        assert close_code(socket) == 4401


@pytest.mark.parametrize("kind", ["connection_init", "ping", "pong"])
@pytest.mark.parametrize("payload", [[], "x", 1, True])
def test_a_payload_that_is_not_an_object_closes_with_4400(api: Api, kind: str, payload: object) -> None:
    with open_websocket(api) as socket:
        send(socket, kind, payload=payload)

        assert close_code(socket) == 4400


def test_a_binary_frame_closes_with_4400(owner: Client) -> None:
    with owner.connected() as socket:
        socket.send(b'{"type": "ping"}')

        assert close_code(socket) == 4400


def test_a_second_connection_init_closes_with_4429_whatever_its_token(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for another in (owner, api.member(harness.organisation.id, Role.VIEWER), Client(api.address, "Bearer nonsense")):
        with owner.connected() as socket:
            initialize(socket, another)

            assert close_code(socket) == 4429


def test_an_operation_id_can_be_used_again_after_the_operation_has_ended(owner: Client) -> None:
    with owner.connected() as socket:
        for _ in range(2):
            send(socket, "subscribe", id="1", payload=QUERY)
            assert receive(socket)["type"] == "next"
            assert receive(socket) == {"type": "complete", "id": "1"}


def test_a_client_that_completes_gets_no_further_results_and_may_use_the_id_again(owner: Client) -> None:
    with owner.connected() as socket:
        send(socket, "subscribe", id="1", payload=SUBSCRIPTION)
        send(socket, "complete", id="1")
        send(socket, "complete", id="1")
        send(socket, "complete", id="unknown")
        send(socket, "subscribe", id="1", payload=QUERY)

        assert receive(socket)["type"] == "next"
        assert receive(socket) == {"type": "complete", "id": "1"}
        send(socket, "ping")
        assert receive(socket) == {"type": "pong"}


def test_an_internal_error_ends_its_operation_and_releases_its_id(
    owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.graphql.websocket._limit_errors", lambda _: 1 / 0)
    with owner.connected() as socket:
        for _ in range(2):
            send(socket, "subscribe", id="1", payload=QUERY)
            error = receive(socket)
            assert (error["type"], error["id"]) == ("error", "1")
            extensions = error["payload"][0]["extensions"]
            assert (extensions["code"], len(extensions["requestId"])) == ("INTERNAL_SERVER_ERROR", 32)
