"""Every HTTP error is JSON with a code and a request id, and every request leaves one line in the log."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from runtime.logging import FieldsFormatter
from server import web_pages
from server.request_log import RequestLog
from tests import attacks
from tests.api import PROTOCOL, TIMEOUT, Api, Client, tenant_gid
from tests.http_client import HTTP
from tests.run_harness import RunHarness
from tests.waiting import wait_until

LINE = re.compile(r"(request answered|websocket operation ended) \[")
GIVEN = {"X-Request-ID": "abc-1"}
VERSION = "The server speaks HTTP/1.1 and HTTP/1.0 only: send the request with one of them."
SLASH = "The address in the first line of a request must begin with a slash: the server is not a proxy."
INVALID = "This is not a valid HTTP request."


class Lines(logging.Handler):
    """Collects the log as ``python -m server serve`` writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(FieldsFormatter("%(name)s: %(message)s"))
        self.all: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.all.append(self.format(record))

    def of(self, request_id: str) -> list[str]:
        return [line for line in self.all if re.search(rf"request_id={re.escape(request_id)}[ \]]", line)]

    def answered(self, request_id: str) -> list[str]:
        """The lines that say that the request was answered; the first may come after the response."""
        wait_until(lambda: self._answered(request_id) != [])
        return self._answered(request_id)

    def _answered(self, request_id: str) -> list[str]:
        return [line for line in self.of(request_id) if LINE.search(line)]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged() as found:
        yield found


@contextmanager
def logged() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def error_in(response: httpx.Response) -> dict[str, Any]:
    """The only error of a JSON response, which must have the request's id in its header and its body."""
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json()["errors"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    found: dict[str, Any] = error
    return found


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/nowhere", 404, "NOT_FOUND"),
    ("GET", "/assets/nothing.js", 404, "NOT_FOUND"),
    ("GET", "/assets/../secret", 404, "NOT_FOUND"),
    ("POST", "/", 405, "BAD_REQUEST"),
    ("DELETE", "/healthz", 405, "BAD_REQUEST"),
    ("PUT", "/graphql", 405, "BAD_REQUEST"),
    ("GET", "/graphql/stream", 406, "BAD_REQUEST"),
    ("GET", "/export/audit.xml", 404, "NOT_FOUND"),
    ("GET", "/export/audit.csv", 401, "UNAUTHENTICATED"),
    ("GET", "/export/", 404, "NOT_FOUND"),
])  # fmt: skip
def test_every_http_error_is_json_with_a_code_and_the_request_id(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    response = HTTP.request(
        method,
        f"http://{api.address}{path}",
        headers=GIVEN | {"Accept": "application/json"},
        timeout=TIMEOUT,
    )

    assert response.status_code == status
    assert error_in(response)["extensions"] == {"code": code, "requestId": "abc-1"}


def test_a_preflight_from_a_foreign_origin_is_refused_in_json(api: Api) -> None:
    response = HTTP.options(
        f"http://{api.address}/graphql",
        headers=GIVEN | {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        timeout=TIMEOUT,
    )

    assert response.status_code == 400
    assert error_in(response)["message"] == "Disallowed CORS origin"


def test_bytes_that_are_not_http_are_refused_in_json_with_a_request_id_that_is_in_the_log(
    owner: Client, lines: Lines
) -> None:
    reply = attacks.over_tcp(b"\x16\x03\x01\x02\r\n\r\n")(owner)

    head, _, body = reply.text.partition("\r\n\r\n")
    (error,) = json.loads(body)["errors"]
    assert (reply.status, error["extensions"]["code"]) == (400, "BAD_REQUEST")
    request_id = error["extensions"]["requestId"]
    assert f"x-request-id: {request_id}" in head.lower()
    assert len(lines.answered(request_id)) == 1


@pytest.mark.parametrize(
    ("request_line", "status", "sentence"),
    [
        *[(f"GET /healthz HTTP/{version}", 505, VERSION) for version in ("3.0", "2.0", "0.9", "9.9", "2.1")],
        ("PRI * HTTP/2.0", 505, VERSION),
        ("GET healthz HTTP/1.1", 400, SLASH),
        ("GET * HTTP/1.1", 400, SLASH),
        ("OPTIONS * HTTP/1.1", 400, SLASH),
        ("GET http://x/healthz HTTP/1.1", 400, SLASH),
        ("CONNECT x:443 HTTP/1.1", 400, SLASH),
        ("GET ?x HTTP/1.1", 400, SLASH),
        *[
            (line, 400, INVALID)
            for line in (
                "GET /healthz",
                "GET /healthz HTTP/1",
                "GET /healthz HTTP/1.10",
                "GET /healthz HTTP/11.1",
                "GET /healthz http/1.1",
                "GET /healthz HTTPS/1.1",
                "GET /healthz HTTP/1.1 HTTP/1.1",
                "GET  /healthz HTTP/1.1",
                "GET /healthz  HTTP/1.1",
                "GET\t/healthz HTTP/1.1",
                "GET /health z HTTP/1.1",
                "GET /health\x00z HTTP/1.1",
                "GET /healthé HTTP/1.1",
                "G@T /healthz HTTP/1.1",
                " GET /healthz HTTP/1.1",
                "GET HTTP/1.1",
                "/healthz HTTP/1.1",
                "HTTP/1.1 200 OK",
            )
        ],
    ],
)
def test_a_request_line_that_is_not_of_http_1_is_refused_in_one_sentence(
    owner: Client, lines: Lines, request_line: str, status: int, sentence: str
) -> None:
    reply = attacks.over_tcp(f"{request_line}\r\nHost: x\r\n\r\n".encode())(owner)

    head, _, body = reply.text.partition("\r\n\r\n")
    (error,) = json.loads(body)["errors"]
    request_id = error["extensions"]["requestId"]
    assert (reply.status, error["message"], error["extensions"]["code"]) == (status, sentence, "BAD_REQUEST")
    assert f"x-request-id: {request_id}" in head.lower()
    assert "connection: close" in head.lower()
    (line,) = lines.answered(request_id)
    assert f"status={status}" in line


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_versions_of_http_1_are_served(owner: Client, version: str) -> None:
    request = f"GET /healthz HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert attacks.over_tcp(request.encode())(owner).status == 200


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/nowhere", 404, "NOT_FOUND"),
    ("/healthz", 404, "NOT_FOUND"),
    ("/graphql", 403, "FORBIDDEN"),
])  # fmt: skip
def test_a_websocket_that_is_refused_gets_json_with_the_request_id(api: Api, path: str, status: int, code: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"ws://{api.address}{path}",
            subprotocols=[PROTOCOL],
            proxy=None,
            additional_headers=GIVEN,
            origin=Origin("https://evil.example"),
        ).close()

    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body)["errors"][0]["extensions"] == {"code": code, "requestId": "abc-1"}


@pytest.mark.parametrize(
    ("request_line", "fields", "status"),
    [
        ("GET /graphql HTTP/1.1", "Sec-WebSocket-Version: 13", 400),
        ("GET /graphql HTTP/1.1", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short", 400),
        ("GET /graphql HTTP/1.1", "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 400),
        ("POST /graphql HTTP/1.1", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 405),
        ("GET /nowhere HTTP/1.1", "X-Request-ID: twice", 400),
    ],
)
def test_a_handshake_that_is_not_valid_is_refused_in_json_and_leaves_one_line(
    owner: Client, lines: Lines, request_line: str, fields: str, status: int
) -> None:
    upgrade = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Request-ID: abc-2"
    reply = attacks.over_tcp(f"{request_line}\r\n{upgrade}\r\n{fields}\r\n\r\n".encode())(owner)

    head, _, body = reply.text.partition("\r\n\r\n")
    (error,) = json.loads(body)["errors"]
    assert (reply.status, error["extensions"]["code"]) == (status, "BAD_REQUEST")
    assert "content-type: application/json" in head.lower()
    assert f"x-request-id: {error['extensions']['requestId']}" in head.lower()
    assert len(lines.answered(error["extensions"]["requestId"])) == 1


def test_an_unexpected_error_is_json_without_its_text_and_the_log_has_it_under_the_request_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    def fail(*_: object, **_more: object) -> Response:
        raise ZeroDivisionError("an inner detail")

    monkeypatch.setattr(web_pages, "page", fail)

    response = api.get("/dashboard", **{"X-Request-ID": "fails-1"})

    assert response.status_code == 500
    assert error_in(response)["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "an inner detail" not in response.text
    (trace,) = (line for line in lines.of("fails-1") if "request failed" in line)
    assert "ZeroDivisionError: an inner detail" in trace
    assert len(lines.answered("fails-1")) == 1


def test_an_error_after_the_response_has_begun_ends_the_connection_and_leaves_one_line(lines: Lines) -> None:
    async def chunks() -> Any:
        yield b"half"
        raise ZeroDivisionError

    async def page(_: Request) -> Response:
        return StreamingResponse(chunks())

    client = TestClient(RequestLog(Starlette(routes=[Route("/", page)])))

    with pytest.raises(ZeroDivisionError):
        client.get("/", headers={"X-Request-ID": "half-1"})

    assert len(lines.answered("half-1")) == 1


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/dashboard", "/assets/nothing.js", "/export/audit.csv"])
def test_every_response_has_the_request_id_and_one_line_in_the_log(api: Api, lines: Lines, path: str) -> None:
    response = api.get(f"{path}?token=an inner detail", **{"X-Request-ID": f"line{path}", "Accept": "application/json"})

    assert response.headers["x-request-id"] == f"line{path}"
    (line,) = lines.answered(f"line{path}")
    assert f"method=GET path={path} status={response.status_code} ms=" in line
    assert "an inner detail" not in line


def test_queries_and_mutations_leave_one_line_with_the_caller(harness: RunHarness, owner: Client, lines: Lines) -> None:
    harness.create()

    owner.headers["X-Request-ID"] = "query-1"
    actor_id = owner.execute("{ viewer { actor { id } } }")["viewer"]["actor"]["id"]
    owner.headers["X-Request-ID"] = "mutation-1"
    owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id))

    assert actor_id
    for request_id in ("query-1", "mutation-1"):
        (line,) = lines.answered(request_id)
        assert "path=/graphql status=200" in line
        assert f"caller_kind=USER caller_id={owner_id(owner)} organisation_id={harness.organisation.id}" in line


def owner_id(client: Client) -> str:
    import jwt  # noqa: PLC0415  # of this helper only

    claims = jwt.decode((client.authorization or "").removeprefix("Bearer "), options={"verify_signature": False})
    return str(claims["sub"])


def test_lines_that_are_written_during_a_request_have_its_id_also_those_of_threads(
    owner: Client, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    from provisioning import queries  # noqa: PLC0415  # patched here only

    def log_and_fail(*_: object, **_more: object) -> None:
        logging.getLogger("some.library").info("in a thread")
        raise ZeroDivisionError

    monkeypatch.setattr(queries, "tenant_of_slug", log_and_fail)
    owner.headers["X-Request-ID"] = "thread-1"

    owner.error('{ tenantBySlug(slug: "x") { id } }')

    lines.answered("thread-1")
    found = lines.of("thread-1")
    assert [line.partition(":")[0] for line in found] == [
        "some.library",
        "server.graphql.error_masking",
        "server.request_log",
    ]


def test_an_operation_on_a_websocket_leaves_a_line_with_the_id_that_its_events_have(
    harness: RunHarness, owner: Client, lines: Lines
) -> None:
    harness.create()
    cancel = (
        f'mutation {{ cancelProvisioning(input: {{tenantId: "{tenant_gid(harness.tenant_id)}"}}) '
        "{ userErrors { code } } }"
    )
    with owner.subscribed(cancel) as subscription:
        subscription.until_complete()

    [event] = (event for event in harness.events() if event.type.endswith("cancel_requested"))
    assert event.request_id
    wait_until(lambda: len(lines.answered(str(event.request_id))) == 1)


def test_an_id_that_is_not_well_formed_is_replaced_and_cannot_forge_a_line(api: Api, lines: Lines) -> None:
    response = api.get("/healthz%0ainfo%20forged", **{"X-Request-ID": "a b] forged"})

    new_id = response.headers["x-request-id"]
    (line,) = lines.answered(new_id)
    assert "\n" not in line
    assert "forged]" not in line
    assert "path=/healthz%0ainfo%20forged" in line
