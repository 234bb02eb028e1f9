"""Whatever somebody tries is refused quickly, learns nothing, and is hardly noticed by others."""

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
from tests.attacks import DOCUMENTS, HANGING, HARMLESS, REQUESTS, SOCKETS, WIRES, Attack, Told
from tests.run_harness import RunHarness

QUICKLY = 3.0
"""Seconds of processor time, of the API and of the attack, which share a process; usually a hundredth of that.

How busy the machine is otherwise does not count. An answer that never comes is the attack's own timeout (``WITHIN``).
"""

LONGEST_ANSWER = 4000
SECRETS = (
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
"""What tells of the inside: stacks, statements, paths, libraries."""

REFUSALS = {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "DOCUMENT_TOO_COMPLEX", "BAD_USER_INPUT", "NOT_FOUND"}


def endured(attack: Attack, client: Client) -> Told:
    """What the attack is told: quickly, briefly, and nothing of the inside."""
    began = time.process_time()
    told = attack(client)
    took = time.process_time() - began

    assert took < QUICKLY
    assert len(told.text) < LONGEST_ANSWER
    assert [word for word in SECRETS if word in told.text] == []
    return told


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_refused_over_http_and_over_a_socket(owner: Client, name: str) -> None:
    posted = endured(attacks.by_post(*DOCUMENTS[name]), owner)
    sent = endured(attacks.by_socket(*DOCUMENTS[name]), owner)

    if posted.status == 413 or sent.status == 1009:
        assert (posted.status, sent.status) == (413, 1009)
        return
    assert posted.status in {200, 400}
    assert set(posted.codes) <= REFUSALS
    assert set(sent.codes) <= REFUSALS
    assert posted.codes or name in HARMLESS, posted.text
    assert 0 <= len(posted.codes) <= 5


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_refused(owner: Client, name: str) -> None:
    attack, statuses = REQUESTS[name]

    assert endured(attack, owner).status in statuses


@pytest.mark.parametrize("name", SOCKETS)
def test_a_socket_is_refused(owner: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "QUICKLY", 60.0 if name == "ten thousand subscribes" else QUICKLY)
    attack, statuses = SOCKETS[name]

    assert endured(attack, owner).status in statuses


@pytest.mark.parametrize("name", WIRES)
def test_bytes_that_are_no_http_are_refused(owner: Client, name: str) -> None:
    attack, statuses = WIRES[name]

    assert endured(attack, owner).status in statuses


def test_whoever_hangs_is_hung_up_on(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "REQUEST_WITHIN", 1.0)
    monkeypatch.setattr(request, "BODY_WITHIN", 1.0)

    with ThreadPoolExecutor(len(HANGING)) as pool:
        told = dict(zip(HANGING, pool.map(lambda said: attacks.saying(*said)(owner), HANGING.values()), strict=True))

    assert {name: one.status for name, one in told.items()} == {
        "nothing at all": 0,
        "half a head": 0,
        "half a body": 401,
        "a socket that does not introduce itself": 101,
        "half a frame": 101,
        "half a message": 101,
    }


def test_a_body_that_is_dripped_in_is_not_waited_for(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "REQUEST_WITHIN", 0.5)
    monkeypatch.setattr(request, "BODY_WITHIN", 0.5)
    head = attacks.HEAD + f"Authorization: {owner.authorization}\r\nContent-Length: 1000\r\n\r\n".encode()

    assert dripped(owner, head) == 408
    assert dripped(owner, attacks.HEAD + b"Content-Length: 1000\r\n\r\n") == 401  # after the answer it drips on


def dripped(client: Client, head: bytes) -> int:
    """The status that answers somebody who sends a character now and then, until the connection is ended."""
    with attacks.wire(client) as connection:
        connection.sendall(head)
        ended = threading.Event()

        def drip() -> None:
            try:
                while not ended.wait(0.05):
                    connection.sendall(b" ")
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            return attacks.heard(connection, ()).status
        finally:
            ended.set()
            dripping.join()


def test_a_message_in_too_many_pieces_closes_the_socket(owner: Client) -> None:
    with attacks.acknowledged(owner) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.send("" for _ in itertools.count())

    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009  # it was sending when it was hung up on


def test_who_pings_and_does_not_read_is_not_written_to_for_ever(owner: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_protocols, "READ_WITHIN", 0.5)
    ping = b"\x89\xfd" + struct.pack("!I", 0) + os.urandom(125)

    with attacks.wire(owner) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(attacks.UPGRADE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(ping * 400_000)  # more than the kernels keep for both of us


def test_others_hardly_notice(api: Api, harness: RunHarness, owner: Client) -> None:
    """Client, server and attackers share one interpreter here; ``make bench ARGS=hostile`` measures whole processes."""
    bystander = api.person(harness.organisation.id)
    each = [attacks.by_post(*one) for one in DOCUMENTS.values()] + [attack for attack, _ in REQUESTS.values()]
    over = threading.Event()

    def attack_on(part: int) -> None:
        while not over.is_set():
            for attack in each[part::2]:
                attack(owner)
                if over.wait(0.02):
                    return

    alone, beside = [], []
    for _ in range(3):  # by turns: how busy the machine is otherwise may change
        over.clear()
        alone += waits(bystander, 10)
        with ThreadPoolExecutor(2) as pool:
            attackers = [pool.submit(attack_on, part) for part in range(2)]
            try:
                beside += waits(bystander, 10)
            finally:
                over.set()
        for attacker in attackers:
            attacker.result()

    assert statistics.median(beside) < 5 * statistics.median(alone) + 0.1


def waits(client: Client, times: int) -> list[float]:
    """How long each of so many ordinary questions takes, in seconds."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        assert attacks.asked(client, "POST", "/graphql", attacks.QUERY).status == 200
        found.append(time.monotonic() - began)
    return found
