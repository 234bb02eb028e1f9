"""Attacks on the API, each of which sends hostile input once and returns the server's reply.

Attacks with SQL, as a tenant's own login or as a role of callers, are in sql_attacks.py.
"""

import http.client
import itertools
import json
import os
import socket
import string
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from schema.tenant_connection import NEWEST_FIRST
from tests.api import PROTOCOL, Client

TIMEOUT = 15.0
"""Seconds for each read; a reply that never comes fails the attack."""


@dataclass(frozen=True)
class Reply:
    """The status or websocket close code (0 if the connection was closed without one), and the text."""

    status: int
    text: str

    @property
    def codes(self) -> list[str]:
        """The codes of the errors in the text; none if the text is not JSON."""
        try:
            body = json.loads(self.text)
        except ValueError:
            return []
        errors = body.get("errors", []) if isinstance(body, dict) else body
        return [error["extensions"]["code"] for error in errors]


Attack = Callable[[Client], Reply]


def nested(opening: str, core: str, closing: str, times: int) -> str:
    return opening * times + core + closing * times


def fragments(count: int, body: Callable[[int], str]) -> str:
    return " ".join(f"fragment F{number} on Query {{ {body(number)} }}" for number in range(count))


VIEWER = "viewer { scopes }"
BY_SLUG = "query ($slug: String!) { tenantBySlug(slug: $slug) { id } }"
BY_IDS = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
BY_FILTER = "query ($filter: TenantFilter) { tenants(filter: $filter) { totalCount } }"

DOCUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "deep": ("{ tenants { nodes { " + nested("recreatedFrom { ", "id", " }", 200) + " } } }", {}),
    "deeper than the parser": ("{ a " * 499 + "}" * 499, {}),
    "wide": ("{ viewer { " + "scopes " * 900 + "} }", {}),
    "aliased": ("{ " + " ".join(f"a{number}: {VIEWER}" for number in range(150)) + " }", {}),
    "aliases of one nested field": (
        "{ viewer { " + " ".join(f"a{number}: scopes" for number in range(300)) + " } }",
        {},
    ),
    "a fragment that spreads itself": ("{ ...F } fragment F on Query { viewer { scopes } ...F }", {}),
    "fragments in a cycle": ("{ ...F0 } " + fragments(60, lambda n: f"{VIEWER} ...F{(n + 1) % 60}"), {}),
    "exponential fragments": (
        "{ ...F0 } " + fragments(40, lambda n: f"{VIEWER} ...F{n + 1} ...F{n + 1}"),
        {},
    ),
    "unused fragments": (f"{{ {VIEWER} }} " + fragments(80, lambda n: f"a{n}: viewer {{ scopes }}"), {}),
    "conflicting fields": (
        "{ " + " ".join(f'a: tenantBySlug(slug: "s{n}") {{ id }}' for n in range(90)) + " }",
        {},
    ),
    "repeated fields": ("{ viewer { " + "actor { id } " * 240 + "} }", {}),
    "repeated fields, nested": (
        "{ tenants { nodes { " + ("recreatedFrom { " + "recreatedFrom { id } " * 20 + "} ") * 10 + "} } }",
        {},
    ),
    "directives": ("{ viewer { scopes " + "@include(if: true) " * 150 + "} }", {}),
    "unknown directives": ("{ viewer { scopes " + "@x " * 400 + "} }", {}),
    "many operations": (" ".join(f"query Q{number} {{ {VIEWER} }}" for number in range(100)), {}),
    "operations with the same name": (f"query Q {{ {VIEWER} }} " * 5, {}),
    "many variables": ("query (" + " ".join(f"$v{n}: Int" for n in range(200)) + f") {{ {VIEWER} }}", {}),
    "a deep type": ("query ($v: " + nested("[", "Int", "]", 400) + f") {{ {VIEWER} }}", {}),
    "a type just not too deep": ("query ($v: " + nested("[", "Int", "]", 150) + f") {{ {VIEWER} }}", {}),
    "a deep list": ("{ nodes(ids: " + nested("[", "1", "]", 450) + ") { id } }", {}),
    "a list just not too deep": ("{ nodes(ids: " + nested("[", "1", "]", 120) + ") { id } }", {}),
    "a deep object": ("{ tenants(filter: " + nested("{a: ", "1", "}", 230) + ") { totalCount } }", {}),
    "an object just not too deep": ("{ tenants(filter: " + nested("{a: ", "1", "}", 100) + ") { totalCount } }", {}),
    "a long name": ("{ " + "x" * 30_000 + " }", {}),
    "a long string": ('{ tenantBySlug(slug: "' + "x" * 32_000 + '") { id } }', {}),
    "a long number": ("{ tenants(first: " + "9" * 20_000 + ") { totalCount } }", {}),
    "an infinite number": ("{ tenants(first: 1e400) { totalCount } }", {}),
    "a block string": ('{ tenantBySlug(slug: """' + "\n  x" * 8_000 + '""") { id } }', {}),
    "comments": ("#" * 200_000 + "\n{ " + VIEWER + " }", {}),
    "commas": ("{ " + VIEWER + "," * 200_000 + " }", {}),
    "a NUL": ("{ viewer\0 { scopes } }", {}),
    "a NUL in a string": (r'{ tenantBySlug(slug: "a\u0000") { id } }', {}),
    "half of a surrogate pair": (r'{ tenantBySlug(slug: "\uD800") { id } }', {}),
    "introspection, deep": (
        "{ __schema { types { fields { type { fields { type { "
        + nested("fields { type { ", "name", " } }", 8)
        + "}" * 6,
        {},
    ),
    "introspection, many fields": (
        "{ " + " ".join(f'a{n}: __type(name: "Query") {{ fields {{ name }} }}' for n in range(40)) + " }",
        {},
    ),
    "an incomplete operation": ("query", {}),
    "no operation": ("fragment F on Query { viewer { scopes } }", {}),
    "a type definition": ("type Query { a: Int }", {}),
    "names close to existing ones": ("{ " + " ".join(f"tenant{n} tenantz{n}" for n in range(10)) + " }", {}),
    "a long list of ids": (BY_IDS, {"ids": ["x"] * 30_000}),
    "a deep variable": (BY_IDS, {"ids": json.loads(nested("[", "1", "]", 400))}),
    "a deep object in a variable": (BY_FILTER, {"filter": json.loads(nested('{"slugPrefix": ', "1", "}", 400))}),
    "a variable with many unknown fields": (BY_FILTER, {"filter": {f"n{number}": number for number in range(10_000)}}),
    "a huge string in a variable": (BY_IDS, {"ids": ["x" * 250_000]}),
    "a huge number in a variable": ("query ($n: Int) { tenants(first: $n) { totalCount } }", {"n": 10**4000}),
    "a huge float in a variable": ("query ($n: Int) { tenants(first: $n) { totalCount } }", {"n": 1e308}),
    "NULs in a variable": (BY_SLUG, {"slug": "\0" * 1000}),
    "half of a surrogate pair in a variable": (BY_SLUG, {"slug": "\ud800"}),
    "a malformed cursor": ('{ tenants(after: "' + "W1" * 10_000 + '") { totalCount } }', {}),
    "a malformed id": ('{ node(id: "' + "=" * 30_000 + '") { id } }', {}),
    "an event type with wildcards of LIKE": (
        '{ auditEvents(first: 1, filter: {typeIn: ["' + "%" * 500 + '.*"]}) { edges { cursor } } }',
        {},
    ),
}
"""Documents and their variables, by name."""

CREATE = "mutation ($input: CreateTenantInput!) { createTenant(input: $input) { userErrors { code } } }"

SCHEMA_PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "a required argument": ("mutation { cancelProvisioning { alreadyRequested } }", {}),
    "required fields of an input": ("mutation { createTenant(input: {}) { userErrors { code } } }", {}),
    "a field of the wrong type": (
        'mutation { createTenant(input: {slug: 7, first: "x"}) { userErrors { code } } }',
        {},
    ),
    "an object without fields": ("{ tenants }", {}),
    "fields of a scalar": ("{ viewer { scopes { x } } }", {}),
    "a field of a type": ("{ viewer { x } }", {}),
    "a misspelt field": ("{ tenantz { totalCount } }", {}),
    "an unknown argument": ("{ tenants(frist: 1) { totalCount } }", {}),
    "an enum": ("{ tenants(filter: {stateIn: [LIVE]}) { totalCount } }", {}),
    "a literal of another type": ("{ tenants(filter: 1) { totalCount } }", {}),
    "a variable of another type": ("query ($f: Int) { tenants(filter: $f) { totalCount } }", {}),
    "a fragment on another type": ("{ viewer { ...F } } fragment F on Query { __typename }", {}),
    "a spread on a scalar": ("{ viewer { ... on String { __typename } } }", {}),
    "an unknown type": ("query ($f: Tenat) { tenants { totalCount } }", {}),
    "required fields in a variable": (CREATE, {"input": {}}),
    "an unknown field in a variable": (CREATE, {"input": {"slug": "x", "plna": "x", "firstAdminEmail": "a@b.example"}}),
    "a wrong type in a variable": (CREATE, {"input": {"slug": {"x": 1}, "plan": [], "firstAdminEmail": 3}}),
    "an enum in a variable": (BY_FILTER, {"filter": {"stateIn": ["LIVE"]}}),
    "a wrong variable": (BY_FILTER, {"filter": 3}),
}
"""Documents with errors that could show the schema to a caller without the right schema:read."""

ACTOR_READS: dict[str, str] = {
    "node": "{{ node(id: {actor}) {{ ... on Actor {{ displayName }} }} }}",
    "the feed": "{{ auditEvents(first: 100) {{ edges {{ node {{ type data actor {{ displayName }} }} }} }} }}",
    "runs": (
        "{{ tenants(first: 1) {{ nodes {{ runs(first: 1) {{ edges {{ node {{ startedBy {{ displayName }} "
        "cancelRequest {{ requestedBy {{ displayName }} }} resources {{ abandonedBy {{ displayName }} }} "
        "timeline(first: 50) {{ edges {{ node {{ message }} }} }} }} }} }} }} }} }}"
    ),
    "viewer": "{{ viewer {{ actor {{ id }} }} }}",
}
"""Queries that could tell the addresses of people who acted; ``actor`` is the id of one, as a string in GraphQL."""

HARMLESS = {
    *("a NUL in a string", "an event type with wildcards of LIKE", "a malformed id"),
    *("a long string", "a huge string in a variable"),
}
"""Documents that may also succeed with an empty result: only a value in them is unusual."""


def document_by_post(document: str, variables: dict[str, Any]) -> Attack:
    body = json.dumps({"query": document, "variables": variables})
    return lambda client: send_request(client, "POST", "/graphql", body)


def document_by_websocket(document: str, variables: dict[str, Any]) -> Attack:
    """Send a document over a websocket; the reply's text is the payload of the server's message."""

    def attack(client: Client) -> Reply:
        with initialized_websocket(client) as connection:
            payload = {"query": document, "variables": variables}
            connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            try:
                message = json.loads(connection.recv(TIMEOUT))
            except ConnectionClosed as closed:
                return close_reply(closed)
            return Reply(200, json.dumps(message.get("payload")))

    return attack


def send_request(client: Client, method: str, path: str, body: str | bytes = b"", **headers: str) -> Reply:
    """Send one HTTP request with ``http.client``, which does not validate it as httpx does."""
    usual = {"Content-Type": "application/json", "Authorization": client.authorization or ""}
    connection = http.client.HTTPConnection(client.address, timeout=TIMEOUT)
    try:
        encoded = body.encode(errors="surrogatepass") if isinstance(body, str) else body
        connection.request(method, path, encoded, usual | {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return Reply(response.status, response.read().decode())
    except (BrokenPipeError, ConnectionResetError):
        return Reply(0, "")
    finally:
        connection.close()


def over_http(method: str, path: str, body: str | bytes = b"", **headers: str) -> Attack:
    return lambda client: send_request(client, method, path, body, **headers)


LOOK_ALIKES: dict[str, str] = {
    "the Kelvin sign": "{}\u212a",
    "a full-width letter": "{}\uff4b",
    "a mathematical letter": "{}\U0001d424",
    "a superscript letter": "{}\u1d4f",
    "a circled letter": "{}\u24da",
    "the Kelvin sign in the domain": "@",
}
"""Addresses that some systems take for the same with a plain k at the end of the local part; {} is that of a victim."""


def address_like(name: str, victim: str) -> str:
    """An address that looks like ``<victim>k@…`` to a system that compares carelessly."""
    local, _, domain = victim.partition("@")
    pattern = LOOK_ALIKES[name]
    if "@" in pattern:
        return f"{local}@{domain.replace('k', chr(0x212A))}"
    return f"{pattern.format(local.removesuffix('k'))}@{domain}"


QUERY = json.dumps({"query": f"{{ {VIEWER} }}"})
CANCEL = "mutation%20%7B%20cancelProvisioning(input:%20%7BtenantId:%20%22x%22%7D)%20%7B%20alreadyRequested%20%7D%20%7D"
FORM = "query=%7Bviewer%7Bscopes%7D%7D"
PART = '--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + QUERY + "\r\n--x--\r\n"

REQUESTS: dict[str, tuple[Attack, set[int]]] = {
    "a body above the limit": (over_http("POST", "/graphql", b'{"query": "' + b" " * 3_000_000), {413, 0}),
    "a form": (over_http("POST", "/graphql", FORM, Content_Type="application/x-www-form-urlencoded"), {415}),
    "plain text": (over_http("POST", "/graphql", QUERY, Content_Type="text/plain"), {415}),
    "a multipart form": (over_http("POST", "/graphql", PART, Content_Type="multipart/form-data; boundary=x"), {415}),
    "a media type that begins like JSON": (
        over_http("POST", "/graphql", QUERY, Content_Type="application/jsonp"),
        {415},
    ),
    "a media type of semicolons": (over_http("POST", "/graphql", QUERY, Content_Type="a/b" + ";" * 50_000), {415}),
    "a compressed body": (
        over_http("POST", "/graphql", b"\x1f\x8b\x08" + os.urandom(200), Content_Encoding="gzip"),
        {400},
    ),
    "a batch": (over_http("POST", "/graphql", f"[{QUERY}, {QUERY}]"), {400}),
    "bytes that are not UTF-8": (over_http("POST", "/graphql", b'{"query": "\xff\xfe"}'), {400}),
    "UTF-16": (
        over_http("POST", "/graphql", QUERY.encode("utf-16"), Content_Type="application/json; charset=utf-16"),
        {200, 400},
    ),
    "nested lists": (over_http("POST", "/graphql", b"[" * 200_000), {400}),
    "nested objects": (over_http("POST", "/graphql", b'{"a":' * 40_000), {400}),
    **{
        f"the value {value} in a body": (
            over_http("POST", "/graphql", f'{{"query": "{{ {VIEWER} }}", "variables": {{"a": {value}}}}}'),
            {400},
        )
        for value in ("NaN", "Infinity", "-Infinity", "1e400", "-1e999", "[1, NaN]")
    },
    "two queries in one body": (over_http("POST", "/graphql", QUERY[:-1] + ', "query": "{ __typename }"}'), {400}),
    "a NaN in the variables of a URL": (
        over_http("GET", "/graphql?query=%7B__typename%7D&variables=%7B%22a%22:NaN%7D"),
        {400},
    ),
    "digits": (over_http("POST", "/graphql", b'{"query": ' + b"9" * 200_000 + b"}"), {400}),
    "a mutation by GET": (over_http("GET", f"/graphql?query={CANCEL}"), {405}),
    "a GET from another site's page": (
        over_http("GET", "/graphql?query=%7B__typename%7D", Origin="https://evil.example"),
        {403},
    ),
    "a cross-site fetch": (over_http("GET", "/graphql?query=%7B__typename%7D", Sec_Fetch_Site="cross-site"), {403}),
    "a long URL": (over_http("GET", "/graphql?query=" + "%7B" * 30_000), {200, 400, 0}),
    "an unknown operation name": (
        over_http("POST", "/graphql", json.dumps({"query": f"query A {{ {VIEWER} }}", "operationName": "x" * 100_000})),
        {200, 400},
    ),
    "an Accept of semicolons": (over_http("POST", "/graphql", QUERY, Accept="a/b" + ";" * 60_000), {406}),
    "an Accept with an open quote": (over_http("POST", "/graphql", QUERY, Accept='a/b;x="' + ";" * 60_000), {406}),
    "an Accept of many media types": (over_http("POST", "/graphql", QUERY, Accept="a/b," * 15_000), {406}),
    "a long token": (over_http("POST", "/graphql", QUERY, Authorization="Bearer " + "x" * 60_000), {401}),
    "a token of dots": (over_http("POST", "/graphql", QUERY, Authorization="Bearer " + "." * 60_000), {401}),
    "no token": (over_http("POST", "/graphql", QUERY, Authorization=""), {401}),
    "a long request id": (over_http("POST", "/graphql", QUERY, X_Request_ID="x" * 50_000), {200}),
    "an export without a token": (over_http("GET", "/export/audit.csv", Authorization=""), {401}),
    "an export with unknown parameters": (over_http("GET", "/export/audit.csv?" + "a=b&" * 10_000), {400}),
    "a stream that accepts only JSON": (
        over_http("POST", "/graphql/stream", QUERY, Accept="application/json"),
        {406},
    ),
    "an unknown path": (over_http("GET", "/" + "../" * 1000 + "etc/passwd"), {404}),
    "an unknown method": (over_http("PROPFIND", "/graphql"), {405}),
}
"""HTTP requests and the statuses allowed for each; 0: the server closed the connection before it read the request."""


@contextmanager
def open_websocket(client: Client, **options: Any) -> Iterator[ClientConnection]:
    usual: dict[str, Any] = {"subprotocols": [PROTOCOL], "proxy": None, "close_timeout": 2, "max_queue": None}
    with connect(f"ws://{client.address}/graphql", **(usual | options)) as connection:
        yield connection


@contextmanager
def initialized_websocket(client: Client, **options: Any) -> Iterator[ClientConnection]:
    with open_websocket(client, **options) as connection:
        connection.send(json.dumps({"type": "connection_init", "payload": {"authorization": client.authorization}}))
        assert json.loads(connection.recv(TIMEOUT)) == {"type": "connection_ack"}
        yield connection


def close_reply(closed: ConnectionClosed) -> Reply:
    return Reply(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Reply(0, "")


def over_websocket(*frames: str | bytes, initialized: bool = True) -> Attack:
    """Send frames over a websocket until the server closes it; the reply is the close code and reason."""

    def attack(client: Client) -> Reply:
        with initialized_websocket(client) if initialized else open_websocket(client) as connection:
            try:
                for frame in frames:
                    connection.send(frame)
                while True:
                    connection.recv(TIMEOUT)
            except ConnectionClosed as closed:
                return close_reply(closed)

    return attack


def handshake_attack(**options: Any) -> Attack:
    def attack(client: Client) -> Reply:
        try:
            with open_websocket(client, **options) as connection:
                connection.recv(TIMEOUT)
        except InvalidStatus as refused:
            return Reply(refused.response.status_code, refused.response.body.decode())
        except InvalidMessage:
            return Reply(0, "")
        except ConnectionClosed as closed:
            return close_reply(closed)
        raise AssertionError("the server accepted the websocket")

    return attack


def ten_thousand_subscribes(client: Client) -> Reply:
    """Send 10,000 subscribe messages without waiting for their results."""
    document = "subscription { auditEventAdded { type } }"
    with initialized_websocket(client) as connection:
        try:
            for number in range(10_000):
                connection.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": document}}))
            while True:
                connection.recv(TIMEOUT)
        except ConnectionClosed as closed:
            return close_reply(closed)


SUBSCRIBE = json.dumps({"id": "1", "type": "subscribe", "payload": {"query": f"{{ {VIEWER} }}"}})

WEBSOCKETS: dict[str, tuple[Attack, set[int]]] = {
    "a subscribe before connection_init": (over_websocket(SUBSCRIBE, initialized=False), {4401}),
    "two connection_init messages": (over_websocket(json.dumps({"type": "connection_init"})), {4401, 4429}),
    "an invalid token": (
        over_websocket(
            json.dumps({"type": "connection_init", "payload": {"authorization": "Bearer x"}}), initialized=False
        ),
        {4401},
    ),
    "a connection_init with a list as its payload": (
        over_websocket(json.dumps({"type": "connection_init", "payload": [1]}), initialized=False),
        {4400, 4401},
    ),
    "a message above the limit": (over_websocket("x" * 300_000), {1009}),
    "nested lists in a message": (over_websocket("[" * 200_000), {4400}),
    "a binary frame": (over_websocket(b"\x00\xff" * 1000), {4400, 1003, 1007}),
    "another site's page": (handshake_attack(origin=Origin("https://evil.example")), {403}),
    "the legacy protocol": (handshake_attack(subprotocols=[Subprotocol("graphql-ws")]), {4406}),
    "a NaN in a message": (over_websocket('{"id": "1", "type": "subscribe", "payload": {"x": NaN}}'), {4400}),
    "ten thousand subscribes": (ten_thousand_subscribes, {4429, 0}),
}
"""Websocket attacks and the close codes (for a handshake, statuses) allowed for each."""


@contextmanager
def tcp_connection(client: Client) -> Iterator[socket.socket]:
    """A raw TCP connection to the API."""
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        yield connection


def over_tcp(*parts: bytes) -> Attack:
    """Send bytes on a raw connection, then read until the server closes it."""

    def attack(client: Client) -> Reply:
        with tcp_connection(client) as connection:
            return exchange(connection, parts)

    return attack


def exchange(connection: socket.socket, parts: tuple[bytes, ...]) -> Reply:
    text = b""
    try:
        for part in parts:
            connection.sendall(part)
        while more := connection.recv(65536):
            text += more
    except (BrokenPipeError, ConnectionResetError):
        pass
    head = text.split(b" ", 2)
    return Reply(int(head[1]) if text.startswith(b"HTTP/1.") else 0, text.decode(errors="replace"))


HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A second request, which a proxy in front may take for the body of the first one."""

UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)

TCP_STREAMS: dict[str, tuple[Attack, set[int]]] = {
    "random bytes": (over_tcp(b"\x16\x03\x01\x02\x00" + os.urandom(500) + b"\r\n\r\n"), {400}),
    "an endless request head": (over_tcp(HEAD + b"X: " + b"x" * 200_000), {400}),
    "two Content-Length headers": (
        over_tcp(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        {400},
    ),
    **{
        f"a request hidden behind {name}": (over_tcp(HEAD + ambiguous + b"\r\n0\r\n\r\n" + HIDDEN), {400})
        for name, ambiguous in {
            "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 100\r\n",
            "chunks and a length of zero": b"Transfer-Encoding: chunked\r\ncontent-length: 0\r\n",
            "an unknown encoding": b"Transfer-Encoding: xchunked\r\n",
            "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "a length with a sign": b"Content-Length: +5\r\n",
            "a blank before the colon": b"Transfer-Encoding : chunked\r\n",
        }.items()
    },
    "a request hidden behind chunks in HTTP/1.0": (
        over_tcp(HEAD.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN),
        {400},
    ),
    "a line break in a header": (over_tcp(HEAD + b"X-Request-ID: a\rb\n\r\n\r\n"), {400}),
}
"""Raw bytes and the statuses allowed for each."""

STALLED: dict[str, tuple[bytes, ...]] = {
    "nothing": (),
    "half a request head": (HEAD,),
    "half a body": (HEAD + b"Content-Length: 100\r\n\r\n{",),
    "a websocket without connection_init": (UPGRADE,),
    "half a frame": (UPGRADE, b"\x81\xfe\x01"),
    "half a message": (UPGRADE, b"\x01\x81\x00\x00\x00\x00x"),
}
"""Bytes after which the client sends nothing more; the server must close the connection."""


BEHIND_EVERY_TENANT = NEWEST_FIRST.cursors.write((datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)))
"""A forged cursor: its page has no tenant, but ``totalCount`` counts those on all pages."""

COUNT = (
    "query ($prefix: String!, $after: String!) {"
    " tenants(first: 1, after: $after, filter: {slugPrefix: $prefix}) { totalCount } }"
)


def slugs_by_counting(client: Client, prefix: str) -> set[str]:
    """Learn every slug that begins with the prefix from counts alone, without reading a tenant."""

    def count(text: str) -> int:
        total: int = client.execute(COUNT, prefix=text, after=BEHIND_EVERY_TENANT)["tenants"]["totalCount"]
        return total

    def below(text: str, total: int) -> Iterator[str]:
        longer = {letter: count(text + letter) for letter in string.ascii_lowercase + string.digits + "-"}
        if total > sum(longer.values()):
            yield text
        for letter, found in longer.items():
            if found:
                yield from below(text + letter, found)

    return set(below(prefix, count(prefix)))


def refused_mutations(client: Client, times: int) -> list[str]:
    """Call mutations that the caller has no right for, again and again; returns the codes of the refusals."""
    payloads = [
        client.mutate("suspendTenant", tenantId=f"tenant {number}")
        if number % 2
        else client.mutate("inviteMember", email=f"x{number}@shop.example", role="ADMIN")
        for number in range(times)
    ]
    return [payload["userErrors"][0]["code"] for payload in payloads]


@contextmanager
def strangers(
    client: Client, count: int, forwarded_for: Callable[[int], str] | None = None
) -> Iterator[list[ClientConnection]]:
    """Open websockets and send no token. ``forwarded_for`` forges the header X-Forwarded-For of each."""
    with ExitStack() as stack:
        opened = []
        for number in range(count):
            headers = {"X-Forwarded-For": forwarded_for(number)} if forwarded_for else {}
            opened.append(stack.enter_context(open_websocket(client, additional_headers=headers)))
        yield opened


def close_code(connection: ClientConnection) -> int:
    """The code with which the server closes the websocket."""
    try:
        connection.recv(TIMEOUT)
    except ConnectionClosed as closed:
        return close_reply(closed).status
    raise AssertionError("the server sent a message")


@contextmanager
def idle_connections(client: Client, count: int) -> Iterator[list[socket.socket]]:
    """Open connections and send nothing on them."""
    with ExitStack() as stack:
        yield [stack.enter_context(tcp_connection(client)) for _ in range(count)]


def open_ones(connections: list[socket.socket]) -> int:
    """How many of these silent connections the server has not closed."""
    for connection in connections:
        connection.settimeout(0.0)
    return sum(map(_is_open, connections))


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


SEARCHES = (
    "{ "
    + " ".join(
        f'a{number}: auditEvents(first: 1, filter: {{occurredUntil: "1970-01-01T00:00:00Z"}}) {{ edges {{ cursor }} }}'
        for number in range(20)
    )
    + " }"
)
"""S1: searches for events that do not exist, all at once."""

HEAVY_REPLAY = (
    "subscription ($after: String) { auditEventAdded(after: $after) { "
    + " ".join(
        f"e{number}: tenant {{ slug state runs(first: 5) {{ edges {{ node {{ number status }} }} }} }}"
        for number in range(10)
    )
    + " } }"
)
"""S2: each event costs reads of its own."""

EXPENSIVE = "{ tenants(first: 100) { nodes { slug name state plan region createdAt updatedAt url version } } }"
"""S3: a page that costs 901 points."""

OLDEST_CURSOR = "{ auditEvents(last: 1) { edges { cursor } } }"


@contextmanager
def replays_that_never_read(client: Client, count: int) -> Iterator[None]:
    """S2: subscriptions from the oldest event on, each with a socket of its own from which nothing is read."""
    after = client.execute(OLDEST_CURSOR)["auditEvents"]["edges"][0]["cursor"]
    subscribe = {"query": HEAVY_REPLAY, "variables": {"after": after}}
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(initialized_websocket(client, max_queue=1))
            connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": subscribe}))
        yield


@contextmanager
def repeated(attack: Callable[[], object], threads: int) -> Iterator[None]:
    """Repeat an attack in so many threads for the length of the block. What it raises ends the block's test."""
    stopped = threading.Event()

    def repeat() -> None:
        while not stopped.is_set():
            attack()

    with ThreadPoolExecutor(threads) as pool:
        repeating = [pool.submit(repeat) for _ in range(threads)]
        try:
            yield
        finally:
            stopped.set()
        for one in repeating:
            one.result()


@contextmanager
def searches(client: Client) -> Iterator[None]:
    """S1: search for what does not exist, in several requests at once."""
    body = json.dumps({"query": SEARCHES})
    with repeated(lambda: send_request(client, "POST", "/graphql", body), 4):
        yield


@contextmanager
def spending_accounts(clients: Sequence[Client]) -> Iterator[None]:
    """S3: every service account of an organisation spends its budget."""
    body = json.dumps({"query": EXPENSIVE})
    following = itertools.cycle(clients)
    with repeated(lambda: send_request(next(following), "POST", "/graphql", body), len(clients)):
        yield


@contextmanager
def readiness_checks(client: Client, per_second: int = 50) -> Iterator[None]:
    """S4: ask for the readiness without a token."""
    never = threading.Event()

    def ask() -> None:
        send_request(client, "GET", "/readyz", Authorization="")
        never.wait(4 / per_second)  # the rate of the attack

    with repeated(ask, 4):
        yield
