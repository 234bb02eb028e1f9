"""Hostile input is refused at little cost, without internals in the reply and without slowing other clients down."""

import itertools
import os
import socket
import statistics
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed

from server import uvicorn_protocols
from server.graphql import request
from tests import attacks
from tests.api import Api, Client
from tests.attacks import DOCUMENTS, HARMLESS, REQUESTS, STALLED, TCP_STREAMS, WEBSOCKETS, Attack, Reply
from tests.run_harness import RunHarness

MAX_PROCESSOR_TIME = 3.0
"""Seconds of processor time for the API and the attack together, which share a process; usually a hundredth of that.

The load of the machine does not count. The attack's own timeout (``attacks.TIMEOUT``) fails for a missing reply.
"""

MAX_REPLY_LENGTH = 4000
INTERNALS = (
    "Traceback",
    'File "',
    "SELECT",
    "psycopg",
    "sqlalchemy",
    "strawberry",
    "graphql.",
    "site-packages",
    "hunter",
)
"""Parts of stack traces, statements, paths, library names and secrets."""

REFUSALS = {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "DOCUMENT_TOO_COMPLEX", "BAD_USER_INPUT", "NOT_FOUND"}


def harmless_reply_to(attack: Attack, client: Client) -> Reply:
    """Run the attack; returns its reply, which must be cheap, short and free of internals."""
    began = time.process_time()
    reply = attack(client)
    took = time.process_time() - began

    assert took < MAX_PROCESSOR_TIME
    assert len(reply.text) < MAX_REPLY_LENGTH
    assert [word for word in INTERNALS if word in reply.text] == []
    return reply


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document_is_refused_over_http_and_over_a_websocket(owner: Client, name: str) -> None:
    posted = harmless_reply_to(attacks.document_by_post(*DOCUMENTS[name]), owner)
    sent = harmless_reply_to(attacks.document_by_websocket(*DOCUMENTS[name]), owner)

    if posted.status == 413 or sent.status == 1009:
        assert (posted.status, sent.status) == (413, 1009)
        return
    assert posted.status in {200, 400}
    assert set(posted.codes) <= REFUSALS
    assert set(sent.codes) <= REFUSALS
    assert posted.codes or name in HARMLESS, posted.text
    assert 0 <= len(posted.codes) <= 5


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_is_refused(owner: Client, name: str) -> None:
    attack, statuses = REQUESTS[name]

    assert harmless_reply_to(attack, owner).status in statuses


@pytest.mark.parametrize("name", WEBSOCKETS)
def test_a_hostile_websocket_is_closed(owner: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        globals(), "MAX_PROCESSOR_TIME", 60.0 if name == "ten thousand subscribes" else MAX_PROCESSOR_TIME
    )
    attack, statuses = WEBSOCKETS[name]

    assert harmless_reply_to(attack, owner).status in statuses


@pytest.mark.parametrize("name", TCP_STREAMS)
def test_bytes_that_are_not_http_are_refused(owner: Client, name: str) -> None:
    attack, statuses = TCP_STREAMS[name]

    reply = harmless_reply_to(attack, owner)

    assert reply.status in statuses
    assert reply.text.count("HTTP/1.1 ") == 1, "a hidden request was answered"


def test_the_server_closes_a_connection_on_which_the_client_stalls(
    owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_protocols, "REQUEST_HEAD_TIMEOUT", 1.0)
    monkeypatch.setattr(request, "BODY_TIMEOUT", 1.0)

    with ThreadPoolExecutor(len(STALLED)) as pool:
        replies = pool.map(lambda parts: attacks.over_tcp(*parts)(owner), STALLED.values())
        statuses = dict(zip(STALLED, [reply.status for reply in replies], strict=True))

    assert statuses == {
        "nothing": 0,
        "half a request head": 0,
        "half a body": 401,
        "a websocket without connection_init": 101,
        "half a frame": 101,
        "half a message": 101,
    }


def test_a_body_that_arrives_byte_by_byte_times_out(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "REQUEST_HEAD_TIMEOUT", 0.5)
    monkeypatch.setattr(request, "BODY_TIMEOUT", 0.5)
    head = attacks.HEAD + f"Authorization: {owner.authorization}\r\nContent-Length: 1000\r\n\r\n".encode()

    assert status_of_slow_body(owner, head) == 408
    # Without a token the server responds before it reads the body, and must still close the connection.
    assert status_of_slow_body(owner, attacks.HEAD + b"Content-Length: 1000\r\n\r\n") == 401


def status_of_slow_body(client: Client, head: bytes) -> int:
    """The response's status when the client sends one byte every 0.05 s until the server closes the connection."""
    with attacks.tcp_connection(client) as connection:
        connection.sendall(head)
        ended = threading.Event()

        def send_slowly() -> None:
            try:
                while not ended.wait(0.05):
                    connection.sendall(b" ")
            except OSError:
                pass

        sender = threading.Thread(target=send_slowly)
        sender.start()
        try:
            return attacks.exchange(connection, ()).status
        finally:
            ended.set()
            sender.join()


def test_a_message_of_endless_frames_closes_the_websocket(owner: Client) -> None:
    with attacks.initialized_websocket(owner) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.send("" for _ in itertools.count())

    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009  # None: closed in the middle of a send


def test_a_client_that_pings_without_reading_is_disconnected(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "WRITE_TIMEOUT", 0.5)
    ping = b"\x89\xfd" + struct.pack("!I", 0) + os.urandom(125)

    with attacks.tcp_connection(owner) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(attacks.UPGRADE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(ping * 400_000)  # more than the kernel's buffers of both sides hold


def test_attacks_hardly_slow_other_clients_down(api: Api, harness: RunHarness, owner: Client) -> None:
    """Client, server and attackers share one process here; ``make bench ARGS=hostile`` measures separate processes."""
    bystander = api.member(harness.organisation.id)
    every_attack = [attacks.document_by_post(*one) for one in DOCUMENTS.values()] + [
        attack for attack, _ in REQUESTS.values()
    ]
    stopped = threading.Event()

    def attack_on(part: int) -> None:
        while not stopped.is_set():
            for attack in every_attack[part::2]:
                attack(owner)
                if stopped.wait(0.02):
                    return

    idle, under_attack = [], []
    for _ in range(3):  # by turns, because the load of the machine may change meanwhile
        stopped.clear()
        idle += response_times(bystander, 10)
        with ThreadPoolExecutor(2) as pool:
            attackers = [pool.submit(attack_on, part) for part in range(2)]
            try:
                under_attack += response_times(bystander, 10)
            finally:
                stopped.set()
        for attacker in attackers:
            attacker.result()

    assert statistics.median(under_attack) < 5 * statistics.median(idle) + 0.1


def response_times(client: Client, times: int) -> list[float]:
    """Seconds that each of so many ordinary queries takes."""
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        assert attacks.send_request(client, "POST", "/graphql", attacks.QUERY).status == 200
        seconds.append(time.monotonic() - began)
    return seconds
