"""What somebody tries who wants the server to fall over or to talk: each attack once, and what came back."""

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graphql import get_introspection_query
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.api import PROTOCOL, Client

WITHIN = 15.0


@dataclass(frozen=True)
class Told:
    """What came back: the status or close code (0 when the connection was simply ended), and the words."""

    status: int
    text: str

    @property
    def codes(self) -> list[str]:
        """Of the errors in the words, where they are JSON."""
        try:
            body = json.loads(self.text)
        except ValueError:
            return []
        errors = body.get("errors", []) if isinstance(body, dict) else body
        return [error["extensions"]["code"] for error in errors]


Attack = Callable[[Client], Told]


def nested(opening: str, heart: str, closing: str, times: int) -> str:
    return opening * times + heart + closing * times


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
    "aliases of one field below": (
        "{ viewer { " + " ".join(f"a{number}: scopes" for number in range(300)) + " } }",
        {},
    ),
    "a fragment in itself": ("{ ...F } fragment F on Query { viewer { scopes } ...F }", {}),
    "fragments in a circle": ("{ ...F0 } " + fragments(60, lambda n: f"{VIEWER} ...F{(n + 1) % 60}"), {}),
    "fragments that double": ("{ ...F0 } " + fragments(40, lambda n: f"{VIEWER} ...F{n + 1} ...F{n + 1}"), {}),
    "fragments that nobody uses": (f"{{ {VIEWER} }} " + fragments(80, lambda n: f"a{n}: viewer {{ scopes }}"), {}),
    "fields that contradict": (
        "{ " + " ".join(f'a: tenantBySlug(slug: "s{n}") {{ id }}' for n in range(90)) + " }",
        {},
    ),
    "fields said again": ("{ viewer { " + "actor { id } " * 240 + "} }", {}),
    "fields said again, in each other": (
        "{ tenants { nodes { " + ("recreatedFrom { " + "recreatedFrom { id } " * 20 + "} ") * 10 + "} } }",
        {},
    ),
    "directives": ("{ viewer { scopes " + "@include(if: true) " * 150 + "} }", {}),
    "unknown directives": ("{ viewer { scopes " + "@x " * 400 + "} }", {}),
    "many operations": (" ".join(f"query Q{number} {{ {VIEWER} }}" for number in range(100)), {}),
    "operations of one name": (f"query Q {{ {VIEWER} }} " * 5, {}),
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
    "a number that is none": ("{ tenants(first: 1e400) { totalCount } }", {}),
    "a block string": ('{ tenantBySlug(slug: """' + "\n  x" * 8_000 + '""") { id } }', {}),
    "comments": ("#" * 200_000 + "\n{ " + VIEWER + " }", {}),
    "commas": ("{ " + VIEWER + "," * 200_000 + " }", {}),
    "a NUL": ("{ viewer\0 { scopes } }", {}),
    "a NUL in a string": (r'{ tenantBySlug(slug: "a\u0000") { id } }', {}),
    "half a character": (r'{ tenantBySlug(slug: "\uD800") { id } }', {}),
    "questions about the schema, deep": (
        "{ __schema { types { fields { type { fields { type { "
        + nested("fields { type { ", "name", " } }", 8)
        + "}" * 6,
        {},
    ),
    "questions about the schema, many": (
        "{ " + " ".join(f'a{n}: __type(name: "Query") {{ fields {{ name }} }}' for n in range(40)) + " }",
        {},
    ),
    "an unknown operation": ("query", {}),
    "no operation at all": ("fragment F on Query { viewer { scopes } }", {}),
    "a schema": ("type Query { a: Int }", {}),
    "names that nearly exist": ("{ " + " ".join(f"tenant{n} tenantz{n}" for n in range(10)) + " }", {}),
    "a long list of ids": (BY_IDS, {"ids": ["x"] * 30_000}),
    "a deep variable": (BY_IDS, {"ids": json.loads(nested("[", "1", "]", 400))}),
    "a deep object in a variable": (BY_FILTER, {"filter": json.loads(nested('{"slugPrefix": ', "1", "}", 400))}),
    "a variable of many names": (BY_FILTER, {"filter": {f"n{number}": number for number in range(10_000)}}),
    "a huge string in a variable": (BY_IDS, {"ids": ["x" * 250_000]}),
    "a huge number in a variable": ("query ($n: Int) { tenants(first: $n) { totalCount } }", {"n": 10**4000}),
    "not a number in a variable": ("query ($n: Int) { tenants(first: $n) { totalCount } }", {"n": 1e308}),
    "NULs in a variable": (BY_SLUG, {"slug": "\0" * 1000}),
    "half a character in a variable": (BY_SLUG, {"slug": "\ud800"}),
    "a cursor of nonsense": ('{ tenants(after: "' + "W1" * 10_000 + '") { totalCount } }', {}),
    "an id of nonsense": ('{ node(id: "' + "=" * 30_000 + '") { id } }', {}),
    "a family of types that is a pattern": (
        '{ auditEvents(first: 1, filter: {typeIn: ["' + "%" * 500 + '.*"]}) { edges { cursor } } }',
        {},
    ),
}
"""Documents, with their variables."""

HARMLESS = {
    *("a NUL in a string", "a family of types that is a pattern", "an id of nonsense"),
    *("a long string", "a huge string in a variable"),
}
"""Refused, or answered with nothing: a value is what is odd about them."""


def by_post(document: str, variables: dict[str, Any]) -> Attack:
    body = json.dumps({"query": document, "variables": variables})
    return lambda client: asked(client, "POST", "/graphql", body)


def by_socket(document: str, variables: dict[str, Any]) -> Attack:
    """The same over a websocket; the words are the message's payload."""

    def attack(client: Client) -> Told:
        with acknowledged(client) as connection:
            payload = {"query": document, "variables": variables}
            connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            try:
                message = json.loads(connection.recv(WITHIN))
            except ConnectionClosed as closed:
                return closed_with(closed)
            return Told(200, json.dumps(message.get("payload")))

    return attack


def asked(client: Client, method: str, path: str, body: str | bytes = b"", **headers: str) -> Told:
    """One request over HTTP, in the words of the standard library."""
    usual = {"Content-Type": "application/json", "Authorization": client.authorization or ""}
    connection = http.client.HTTPConnection(client.address, timeout=WITHIN)
    try:
        encoded = body.encode(errors="surrogatepass") if isinstance(body, str) else body
        connection.request(method, path, encoded, usual | {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return Told(response.status, response.read().decode())
    except (BrokenPipeError, ConnectionResetError):
        return Told(0, "")
    finally:
        connection.close()


def request(method: str, path: str, body: str | bytes = b"", **headers: str) -> Attack:
    return lambda client: asked(client, method, path, body, **headers)


QUERY = json.dumps({"query": f"{{ {VIEWER} }}"})
CANCEL = "mutation%20%7B%20cancelProvisioning(input:%20%7BtenantId:%20%22x%22%7D)%20%7B%20alreadyRequested%20%7D%20%7D"
FORM = "query=%7Bviewer%7Bscopes%7D%7D"
PART = '--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + QUERY + "\r\n--x--\r\n"

REQUESTS: dict[str, tuple[Attack, set[int]]] = {
    "a body above the limit": (request("POST", "/graphql", b'{"query": "' + b" " * 3_000_000), {413, 0}),
    "a form": (request("POST", "/graphql", FORM, Content_Type="application/x-www-form-urlencoded"), {415}),
    "plain text": (request("POST", "/graphql", QUERY, Content_Type="text/plain"), {415}),
    "a multipart form": (request("POST", "/graphql", PART, Content_Type="multipart/form-data; boundary=x"), {415}),
    "a type that begins well": (request("POST", "/graphql", QUERY, Content_Type="application/jsonp"), {415}),
    "a type of semicolons": (request("POST", "/graphql", QUERY, Content_Type="a/b" + ";" * 50_000), {415}),
    "a compressed body": (
        request("POST", "/graphql", b"\x1f\x8b\x08" + os.urandom(200), Content_Encoding="gzip"),
        {400},
    ),
    "a batch": (request("POST", "/graphql", f"[{QUERY}, {QUERY}]"), {400}),
    "bytes that are no text": (request("POST", "/graphql", b'{"query": "\xff\xfe"}'), {400}),
    "UTF-16": (
        request("POST", "/graphql", QUERY.encode("utf-16"), Content_Type="application/json; charset=utf-16"),
        {200, 400},
    ),
    "lists in lists": (request("POST", "/graphql", b"[" * 200_000), {400}),
    "objects in objects": (request("POST", "/graphql", b'{"a":' * 40_000), {400}),
    "digits": (request("POST", "/graphql", b'{"query": ' + b"9" * 200_000 + b"}"), {400}),
    "a mutation by GET": (request("GET", f"/graphql?query={CANCEL}"), {405}),
    "a foreign page's GET": (request("GET", "/graphql?query=%7B__typename%7D", Origin="https://evil.example"), {403}),
    "a foreign page's fetch": (request("GET", "/graphql?query=%7B__typename%7D", Sec_Fetch_Site="cross-site"), {403}),
    "a long address": (request("GET", "/graphql?query=" + "%7B" * 30_000), {200, 400, 0}),
    "an unknown operation": (
        request("POST", "/graphql", json.dumps({"query": f"query A {{ {VIEWER} }}", "operationName": "x" * 100_000})),
        {200, 400},
    ),
    "what is accepted, semicolons": (request("POST", "/graphql", QUERY, Accept="a/b" + ";" * 60_000), {406}),
    "what is accepted, quotes": (request("POST", "/graphql", QUERY, Accept='a/b;x="' + ";" * 60_000), {406}),
    "what is accepted, many": (request("POST", "/graphql", QUERY, Accept="a/b," * 15_000), {406}),
    "a long token": (request("POST", "/graphql", QUERY, Authorization="Bearer " + "x" * 60_000), {401}),
    "a token of dots": (request("POST", "/graphql", QUERY, Authorization="Bearer " + "." * 60_000), {401}),
    "no token": (request("POST", "/graphql", QUERY, Authorization=""), {401}),
    "an id of a request that is a line": (request("POST", "/graphql", QUERY, X_Request_ID="x" * 50_000), {200}),
    "an export by anybody": (request("GET", "/export/audit.csv", Authorization=""), {401}),
    "an export of nonsense": (request("GET", "/export/audit.csv?" + "a=b&" * 10_000), {400}),
    "a stream that is no stream": (request("POST", "/graphql/stream", QUERY, Accept="application/json"), {406}),
    "no such path": (request("GET", "/" + "../" * 1000 + "etc/passwd"), {404}),
    "another method": (request("PROPFIND", "/graphql"), {405}),
}
"""Requests, and the statuses that may answer them; 0 is a connection that was ended before it was read."""


@contextmanager
def opened(client: Client, **options: Any) -> Iterator[ClientConnection]:
    usual: dict[str, Any] = {"subprotocols": [PROTOCOL], "proxy": None, "close_timeout": 2, "max_queue": None}
    with connect(f"ws://{client.address}/graphql", **(usual | options)) as connection:
        yield connection


@contextmanager
def acknowledged(client: Client) -> Iterator[ClientConnection]:
    with opened(client) as connection:
        connection.send(json.dumps({"type": "connection_init", "payload": {"authorization": client.authorization}}))
        assert json.loads(connection.recv(WITHIN)) == {"type": "connection_ack"}
        yield connection


def closed_with(closed: ConnectionClosed) -> Told:
    return Told(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Told(0, "")


def sending(*frames: str | bytes, introduced: bool = True) -> Attack:
    """Say this on a socket, and hear how it is closed."""

    def attack(client: Client) -> Told:
        with acknowledged(client) if introduced else opened(client) as connection:
            try:
                for frame in frames:
                    connection.send(frame)
                while True:
                    connection.recv(WITHIN)
            except ConnectionClosed as closed:
                return closed_with(closed)

    return attack


def handshake(**options: Any) -> Attack:
    def attack(client: Client) -> Told:
        try:
            with opened(client, **options) as connection:
                connection.recv(WITHIN)
        except InvalidStatus as refused:
            return Told(refused.response.status_code, refused.response.body.decode())
        except InvalidMessage:
            return Told(0, "")
        except ConnectionClosed as closed:
            return closed_with(closed)
        raise AssertionError("it was let in")

    return attack


def ten_thousand_subscribes(client: Client) -> Told:
    """As fast as they go."""
    document = "subscription { auditEventAdded { type } }"
    with acknowledged(client) as connection:
        try:
            for number in range(10_000):
                connection.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": document}}))
            while True:
                connection.recv(WITHIN)
        except ConnectionClosed as closed:
            return closed_with(closed)


SUBSCRIBE = json.dumps({"id": "1", "type": "subscribe", "payload": {"query": f"{{ {VIEWER} }}"}})

SOCKETS: dict[str, tuple[Attack, set[int]]] = {
    "a subscribe before an introduction": (sending(SUBSCRIBE, introduced=False), {4401}),
    "two introductions": (sending(json.dumps({"type": "connection_init"})), {4401, 4429}),
    "a bad token": (
        sending(json.dumps({"type": "connection_init", "payload": {"authorization": "Bearer x"}}), introduced=False),
        {4401},
    ),
    "an introduction of lists": (
        sending(json.dumps({"type": "connection_init", "payload": [1]}), introduced=False),
        {4400, 4401},
    ),
    "a message above the limit": (sending("x" * 300_000), {1009}),
    "lists in a message": (sending("[" * 200_000), {4400}),
    "bytes": (sending(b"\x00\xff" * 1000), {4400, 1003, 1007}),
    "a foreign page": (handshake(origin=Origin("https://evil.example")), {403}),
    "the old protocol": (handshake(subprotocols=[Subprotocol("graphql-ws")]), {4406}),
    "ten thousand subscribes": (ten_thousand_subscribes, {4429, 0}),
}
"""Sockets, and the close codes that may end them."""


@contextmanager
def wire(client: Client) -> Iterator[socket.socket]:
    """A connection on which anything may be said."""
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN) as connection:
        yield connection


def saying(*parts: bytes) -> Attack:
    """Say this on a bare connection, then nothing, and hear what is said until it is ended."""

    def attack(client: Client) -> Told:
        with wire(client) as connection:
            return heard(connection, parts)

    return attack


def heard(connection: socket.socket, parts: tuple[bytes, ...]) -> Told:
    text = b""
    try:
        for part in parts:
            connection.sendall(part)
        while more := connection.recv(65536):
            text += more
    except (BrokenPipeError, ConnectionResetError):
        pass
    head = text.split(b" ", 2)
    return Told(int(head[1]) if text.startswith(b"HTTP/1.") else 0, text.decode(errors="replace"))


HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)

WIRES: dict[str, tuple[Attack, set[int]]] = {
    "noise": (saying(b"\x16\x03\x01\x02\x00" + os.urandom(500) + b"\r\n\r\n"), {400}),
    "a head without an end": (saying(HEAD + b"X: " + b"x" * 200_000), {400}),
    "two lengths": (saying(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), {400}),
    "a length and chunks": (
        saying(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"),
        {400, 401},
    ),
    "a line in a header": (saying(HEAD + b"X-Request-ID: a\rb\n\r\n\r\n"), {400}),
}
"""Bytes, and the statuses that may answer them."""

HANGING: dict[str, tuple[bytes, ...]] = {
    "nothing at all": (),
    "half a head": (HEAD,),
    "half a body": (HEAD + b"Content-Length: 100\r\n\r\n{",),
    "a socket that does not introduce itself": (UPGRADE,),
    "half a frame": (UPGRADE, b"\x81\xfe\x01"),
    "half a message": (UPGRADE, b"\x01\x81\x00\x00\x00\x00x"),
}
"""What somebody says who then says nothing more; the server has to end it."""

INTROSPECTION = get_introspection_query()
