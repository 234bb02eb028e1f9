"""Hostile input is refused at little cost, without internals in the reply and without slowing other clients down."""

import itertools
import json
import os
import re
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from models import Role, TenantState
from schema.root import build_schema
from server import uvicorn_protocols
from server.graphql import request
from tests import attacks
from tests.access import events_of
from tests.api import Api, Client, running_api, tenant_gid
from tests.attacks import DOCUMENTS, HARMLESS, REQUESTS, STALLED, TCP_STREAMS, WEBSOCKETS, Attack, Reply
from tests.identity_provider import AUDIENCE, identity_provider
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to
from tests.waiting import wait_until

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


TYPES = frozenset(
    re.findall(r"^(?:type|input|enum|interface|union|scalar) (\w+)", build_schema().as_str(), re.MULTILINE)
)


@pytest.mark.parametrize("name", attacks.SCHEMA_PROBES)
def test_an_error_names_nothing_of_the_schema_that_a_caller_without_the_right_did_not_write(
    api: Api, harness: RunHarness, name: str
) -> None:
    partner = api.service_account(harness.organisation.id, "tenants:read", "tenants:write")
    document, variables = attacks.SCHEMA_PROBES[name]

    posted = attacks.document_by_post(document, variables)(partner)
    sent = attacks.document_by_websocket(document, variables)(partner)

    own = set(re.findall(r"\w+", document + json.dumps(variables)))
    for reply in (posted, sent):
        body = json.loads(reply.text)
        errors = body if isinstance(body, list) else body["errors"]
        assert errors
        for error in errors:
            message = error["message"]
            quoted = {word for text in re.findall(r"'([^']*)'", message) for word in re.findall(r"\w+", text)}
            types = set(re.findall(r"\w+", message)) & TYPES
            assert quoted | types <= own | {"Query", "Mutation"}, message
            assert "Did you mean" not in message
    assert set(posted.codes) | set(sent.codes) <= {"GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}


@pytest.mark.parametrize("reader", ["viewer", "partner", "support"])
def test_the_addresses_of_people_who_acted_are_hidden_everywhere_from_callers_who_manage_no_members(
    api: Api, harness: RunHarness, owner: Client, reader: str
) -> None:
    created = {"slug": "shop", "plan": "pro", "firstAdminEmail": "first@shop.example"}
    tenant = owner.mutate("createTenant", "tenant { id }", **created)["tenant"]
    assert owner.mutate("cancelProvisioning", tenantId=tenant["id"])["userErrors"] == []
    actor = owner.execute("{ viewer { actor { id displayName } } }")["viewer"]["actor"]
    scopes = ("tenants:read", "audit:read", "audit:export")
    client = {
        "viewer": lambda: api.member(harness.organisation.id, Role.VIEWER),
        "partner": lambda: api.service_account(harness.organisation.id, *scopes),
        "support": api.support,
    }[reader]()

    of_owner, of_reader = answers_about(actor["id"], owner, harness), answers_about(actor["id"], client, harness)

    codes = {code for text in (*of_owner.values(), *of_reader.values()) for code in Reply(200, text).codes}
    assert codes <= {"FORBIDDEN"}  # a viewer may not export
    assert actor["displayName"] == "owner@shop.example"
    assert {name for name, text in of_owner.items() if actor["displayName"] in text} == set(of_owner) - {"viewer"}
    assert {name: text for name, text in of_reader.items() if actor["displayName"] in text} == {}
    assert "Owner of" in of_reader["node"] + of_reader["the feed"]


def answers_about(actor_id: str, client: Client, harness: RunHarness) -> dict[str, str]:
    """What the API tells this client about an actor, by the name of the query or of the export's format."""
    documents = {name: text.format(actor=json.dumps(actor_id)) for name, text in attacks.ACTOR_READS.items()}
    answers = {name: attacks.document_by_post(text, {})(client).text for name, text in documents.items()}
    exports = {name: f"/export/audit.{name}?organization={harness.organisation.slug}" for name in ("csv", "jsonl")}
    return answers | {name: attacks.send_request(client, "GET", path).text for name, path in exports.items()}


@pytest.mark.parametrize("name", attacks.LOOK_ALIKES)
def test_a_look_alike_of_an_invited_address_does_not_take_the_invitation_over(
    harness: RunHarness, owner: Client, redis_url: str, name: str
) -> None:
    victim = f"kate-k@{harness.organisation.slug}k.example"
    look_alike = attacks.address_like(name, victim)
    with identity_provider() as provider:
        sign_in = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
        with running_api(harness.settings.model_copy(update=sign_in)) as signing_in:
            assert owner.mutate("inviteMember", email=victim, role="ADMIN")["userErrors"] == []

            attacker = Client(signing_in.address, f"Bearer {provider.token(sub='mallory', email=look_alike)}")
            answer = attacker.post(f"{{ {attacks.VIEWER} }}")
            invited_too = owner.mutate("inviteMember", email=look_alike, role="VIEWER")
            kate = Client(signing_in.address, f"Bearer {provider.token(sub='kate', email=victim.upper())}")

            assert answer.status_code == 401
            assert "looks like" in answer.json()["errors"][0]["message"]
            assert [error["code"] for error in invited_too["userErrors"]] == ["INVALID"]
            assert kate.post(f"{{ {attacks.VIEWER} }}").status_code == 200


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


def test_resending_welcome_emails_in_a_loop_sends_them_once_and_names_the_caller(
    harness: RunHarness, owner: Client
) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    sent = len(harness.simulated.outbox.mails)

    codes = []
    for _ in range(5):
        payload = owner.mutate("resendWelcomeEmails", tenantId=tenant_gid(harness.tenant_id))
        codes += [error["code"] for error in payload["userErrors"]]
        harness.make_moves()

    assert len(harness.simulated.outbox.mails) - sent == 3
    assert codes == ["TOO_SOON"] * 4
    requests = [event for event in harness.events() if event.type == "tenant.welcome_email_requested"]
    assert [event.actor_email for event in requests] == ["owner@shop.example"]


def test_refused_mutations_in_a_loop_are_one_event_for_each_mutation(api: Api, harness: RunHarness) -> None:
    viewer = api.member(harness.organisation.id, Role.VIEWER)

    codes = attacks.refused_mutations(viewer, 40)

    assert codes == ["FORBIDDEN"] * 40
    assert sorted(facts["action"] for _, facts in events_of(harness, "access.denied")) == [
        "inviteMember",
        "suspendTenant",
    ]


def test_support_leaves_a_record_when_it_learns_slugs_by_counting(api: Api, harness: RunHarness) -> None:
    secret = f"zq-{harness.organisation.id.hex[-4:]}"
    hidden = harness.create(secret, start=False).tenant.id

    assert attacks.slugs_by_counting(api.support(), "zq") == {secret}

    recorded = [facts["tenant_ids"] for _, facts in events_of(harness, "access.support")]
    assert recorded == [[str(hidden)]]


def test_an_issuer_does_not_pass_to_an_organisation_that_takes_the_address_later(
    api: Api, harness: RunHarness, other: RunHarness
) -> None:
    rename_organisation(harness, f"north-{other.organisation.slug}")
    bring_tenant_to(harness, TenantState.DECOMMISSIONING)
    harness.make_moves()
    issuer = harness.tenant().address
    attacker = api.member(other.organisation.id)
    slug = issuer.removesuffix(f"-{other.organisation.slug}")

    payload = attacker.mutate("createTenant", "tenant { url }", slug=slug, plan="free", firstAdminEmail="a@b.example")

    assert (payload["tenant"], [error["code"] for error in payload["userErrors"]]) == (None, ["TAKEN"])


def rename_organisation(harness: RunHarness, slug: str) -> None:
    harness.organisation.slug = slug
    with harness.database.transaction() as session:
        session.merge(harness.organisation)


@pytest.fixture
def small_api(harness: RunHarness, redis_url: str) -> Iterator[Api]:
    """An API with low limits for connections."""
    limits = {"sockets_per_address": 3, "sockets_per_caller": 2, "max_connections": 16}
    with running_api(harness.settings.model_copy(update=limits)) as running:
        yield running


@pytest.fixture
def api_behind_a_proxy(harness: RunHarness, redis_url: str) -> Iterator[Api]:
    """The same, with this machine as its trusted proxy."""
    behind = {"sockets_per_address": 3, "trusted_proxies": ("127.0.0.1",)}
    with running_api(harness.settings.model_copy(update=behind)) as running:
        yield running


def test_websockets_of_strangers_do_not_shut_out_a_caller_of_the_same_address(
    small_api: Api, harness: RunHarness
) -> None:
    caller = small_api.member(harness.organisation.id)

    with attacks.strangers(caller, 8) as opened:
        with caller.connected():
            pass

        # The caller's own websocket was a stranger's too, until it sent its token.
        assert [attacks.close_code(one) for one in opened[:6]] == [1013] * 6


def test_websockets_of_a_caller_beyond_the_limit_are_closed(small_api: Api, harness: RunHarness) -> None:
    caller, other_caller = small_api.member(harness.organisation.id), small_api.service_account(harness.organisation.id)

    with caller.connected(), caller.connected():
        with other_caller.connected():
            pass
        with pytest.raises(ConnectionClosed) as refused, caller.connected():
            pass

    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 4429
    wait_until(lambda: connects(caller))


def connects(client: Client) -> bool:
    try:
        with client.connected():
            return True
    except ConnectionClosed:
        return False


def test_a_forged_forwarded_address_does_not_evade_the_limit_of_websockets(small_api: Api, harness: RunHarness) -> None:
    attacker = small_api.member(harness.organisation.id)

    with attacks.strangers(attacker, 6, forwarded_for=lambda number: f"203.0.113.{number}") as opened:
        assert [attacks.close_code(one) for one in opened[:3]] == [1013] * 3


def test_a_trusted_proxy_reports_the_address_of_each_client(api_behind_a_proxy: Api, harness: RunHarness) -> None:
    client = api_behind_a_proxy.member(harness.organisation.id)

    # The client wrote the first address itself, and the proxy added the second.
    with (
        attacks.strangers(client, 1, forwarded_for=lambda _: "203.0.113.9") as others,
        attacks.strangers(client, 4, forwarded_for=lambda number: f"198.51.100.{number}, 203.0.113.1") as opened,
    ):
        assert attacks.close_code(opened[0]) == 1013
        others[0].send(json.dumps({"type": "ping"}))
        assert json.loads(others[0].recv(attacks.TIMEOUT)) == {"type": "pong"}


def test_idle_connections_give_way_to_new_ones(small_api: Api, harness: RunHarness) -> None:
    caller = small_api.member(harness.organisation.id)

    with attacks.idle_connections(caller, 60) as opened:
        assert attacks.send_request(caller, "POST", "/graphql", attacks.QUERY).status == 200
        wait_until(lambda: attacks.open_ones(opened) <= 16, within=5)  # sooner than the timeout of a request's head

        assert attacks.open_ones(opened[:40]) == 0


def test_a_connection_in_use_does_not_give_way_to_idle_ones(small_api: Api, harness: RunHarness) -> None:
    caller = small_api.member(harness.organisation.id)

    with caller.connected() as websocket, attacks.idle_connections(caller, 40) as opened:
        wait_until(lambda: attacks.open_ones(opened) <= 16)
        websocket.send(json.dumps({"type": "ping"}))

        assert json.loads(websocket.recv(attacks.TIMEOUT)) == {"type": "pong"}


HANGING_READ = "{ tenants(first: 1) { nodes { runs(first: 1) { edges { node { absenceChecks { askedAt } } } } } } }"
"""A read of a table that cancels do not need."""


def test_reads_that_hang_take_no_connection_from_another_organisation(
    api: Api, harness: RunHarness, other: RunHarness
) -> None:
    harness.create()
    other.create()
    other.make_moves(until="allocate_traffic")
    attacker, bystander = api.member(harness.organisation.id, Role.VIEWER), api.member(other.organisation.id)
    wait_until(lambda: api.services.connections.used == 0)

    with ThreadPoolExecutor(25) as pool, psycopg.connect(harness.settings.database_url) as locking:
        locking.execute("LOCK TABLE absence_checks IN ACCESS EXCLUSIVE MODE")
        hanging = [pool.submit(attacker.post, HANGING_READ) for _ in range(25)]
        wait_until(lambda: api.services.connections.used == 3)
        began = time.monotonic()
        bystander.execute("{ tenants(first: 1) { nodes { slug } } }")
        payload = bystander.mutate("cancelProvisioning", "alreadyRequested", tenantId=tenant_gid(other.tenant_id))
        took = time.monotonic() - began
        held = api.services.connections.used
        locking.rollback()

    assert payload == {"alreadyRequested": False, "userErrors": []}
    assert took < 0.5
    assert held == 3
    assert [one.result().status_code for one in hanging] == [200] * 25


FAIR_ATTACKS: dict[str, Callable[[Sequence[Client]], AbstractContextManager[None]]] = {
    "S1": lambda clients: attacks.searches(clients[0]),
    "S2": lambda clients: attacks.replays_that_never_read(clients[0], 10),
    "S3": attacks.spending_accounts,
    "S4": lambda clients: attacks.readiness_checks(clients[0]),
}


@pytest.mark.parametrize("name", FAIR_ATTACKS)
def test_a_cancel_of_another_organisation_is_accepted_at_once_during_an_attack(
    api: Api, harness: RunHarness, other: RunHarness, name: str
) -> None:
    """``make bench ARGS="--only fairness"`` compares latencies, in separate processes and with a long feed."""
    harness.create()
    harness.make_moves()
    other.create()
    other.make_moves(until="allocate_traffic")
    attackers = [api.service_account(harness.organisation.id, "tenants:read", "audit:read") for _ in range(4)]
    bystander = api.member(other.organisation.id)
    cancel = {"tenantId": tenant_gid(other.tenant_id)}
    bystander.mutate("cancelProvisioning", **cancel)

    seconds = []
    with FAIR_ATTACKS[name](attackers):
        for _ in range(10):
            began = time.monotonic()
            assert bystander.mutate("cancelProvisioning", **cancel)["userErrors"] == []
            seconds.append(time.monotonic() - began)

    assert statistics.median(seconds) < 0.5


def test_checks_of_readiness_take_no_connection_from_operations(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool, api.statements() as sent:
        statuses = {one.status_code for one in pool.map(lambda _: api.get("/readyz"), range(50))}

    assert statuses <= {200, 503}
    assert sent == []
