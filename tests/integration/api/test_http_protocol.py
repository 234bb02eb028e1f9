"""The GraphQL-over-HTTP specification, cross-site requests, and the limit on websockets per address."""

import re
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.api import PROTOCOL, TIMEOUT, Api, Client, running_api
from tests.http_client import HTTP
from tests.run_harness import RunHarness

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
QUERY = "{ viewer { actor { kind } } }"
CONSOLE = "https://console.example.com"


def post(client: Client, document: str = QUERY, **headers: str) -> httpx.Response:
    client.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(document)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, {JSON}", RESPONSE),
        (f"{JSON}, {RESPONSE}", RESPONSE),
        (f"{RESPONSE};q=0.5, {JSON}", JSON),
        (f"{RESPONSE};q=0.1, */*", JSON),
        (f"{RESPONSE}, application/graphql+json, {JSON}, text/event-stream, multipart/mixed", RESPONSE),
        (f"{RESPONSE.upper()}", RESPONSE),
        (f"{JSON}; charset=utf-8", JSON),
    ],
)
def test_the_response_has_the_media_type_that_the_client_prefers(owner: Client, accept: str, media_type: str) -> None:
    response = post(owner, Accept=accept)

    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert response.headers["vary"] == "Accept, Origin"
    assert response.json()["data"]["viewer"]["actor"]["kind"] == "USER"


@pytest.mark.parametrize("accept", ["text/plain", "image/png, text/*", f"{JSON};q=0", "nonsense"])
def test_a_client_that_accepts_neither_media_type_gets_406(owner: Client, accept: str) -> None:
    response = post(owner, Accept=accept)

    assert response.status_code == 406
    assert response.json()["errors"][0]["message"].startswith("The Accept header must allow application/json")


@pytest.mark.parametrize(
    "document",
    ["{", "{ nothing }", "query ($id: ID!) { tenant(id: $id) { id } }", "{ viewer { " + "scopes " * 500 + "} }"],
)
@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (RESPONSE, 400)])
def test_a_request_error_has_no_data_and_the_status_of_its_media_type(
    owner: Client, document: str, accept: str, status: int
) -> None:
    response = post(owner, document, Accept=accept)

    assert response.status_code == status
    assert response.json().keys() == {"errors"}


@pytest.mark.parametrize("accept", [JSON, RESPONSE])
def test_an_error_of_a_field_is_returned_with_data_and_status_200(owner: Client, accept: str) -> None:
    response = post(owner, "{ viewer { scopes } tenants(first: 1000) { totalCount } }", Accept=accept)

    assert response.status_code == 200
    assert response.json()["data"] is None
    assert response.json()["errors"][0]["path"] == ["tenants"]


def test_every_response_has_the_rate_limit_headers(owner: Client) -> None:
    response = post(owner)

    assert response.headers["RateLimit-Limit"] == "20000"
    assert 15000 < int(response.headers["RateLimit-Remaining"]) < 20000
    assert int(response.headers["RateLimit-Reset"]) <= 4
    assert response.headers["RateLimit-Policy"] == (
        '"caller";q=20000;w=4;qu="points", "organization";q=40000;w=4;qu="points"'
    )
    assert re.fullmatch(r'"caller";r=1\d{4};t=[0-4], "organization";r=3\d{4};t=[0-4]', response.headers["RateLimit"])


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": CONSOLE, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "own", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_get_from_another_sites_page_is_refused_without_the_preflight_header(
    api: Api, owner: Client, headers: dict[str, str]
) -> None:
    if headers.get("Origin") == "own":
        headers = {**headers, "Origin": f"http://{api.address}"}

    def status(**more: str) -> int:
        authorization = {"Authorization": owner.authorization or ""}
        return api.get("/graphql?query={__typename}", **authorization, **headers, **more).status_code

    assert status() == 403
    assert status(**{"GraphQL-Require-Preflight": "1"}) == 200


def test_a_get_from_the_products_own_pages_and_from_programs_is_executed(api: Api, owner: Client) -> None:
    authorization = {"Authorization": owner.authorization or ""}
    own = {"Origin": f"http://{api.address}", "Sec-Fetch-Site": "same-origin"}

    assert api.get("/graphql?query={__typename}", **authorization, **own).status_code == 200
    assert api.get("/graphql?query={__typename}", **authorization, **{"Sec-Fetch-Site": "none"}).status_code == 200


@pytest.fixture
def api_for_console(harness: RunHarness, redis_url: str) -> Iterator[Api]:
    with running_api(harness.settings.model_copy(update={"allowed_origins": (CONSOLE,)})) as running:
        yield running


def preflight(api: Api, origin: str) -> httpx.Response:
    return HTTP.options(
        f"http://{api.address}/graphql",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
        timeout=TIMEOUT,
    )


def test_pages_of_allowed_origins_may_send_requests(api_for_console: Api, harness: RunHarness) -> None:
    allowed, refused = preflight(api_for_console, CONSOLE), preflight(api_for_console, "https://evil.example")
    response = post(api_for_console.member(harness.organisation.id), Origin=CONSOLE)

    assert allowed.headers["access-control-allow-origin"] == CONSOLE
    assert "access-control-allow-origin" not in refused.headers
    assert response.headers["access-control-allow-origin"] == CONSOLE
    assert "RateLimit-Remaining" in response.headers["access-control-expose-headers"]


def test_websockets_are_accepted_from_own_pages_and_allowed_origins_only(api_for_console: Api) -> None:
    address = f"ws://{api_for_console.address}/graphql"

    with pytest.raises(InvalidStatus), connect(address, subprotocols=[PROTOCOL], origin=Origin("https://evil.example")):
        pass
    with connect(address, subprotocols=[PROTOCOL], origin=Origin(CONSOLE)):
        pass
    with connect(address, subprotocols=[PROTOCOL], origin=Origin(f"http://{api_for_console.address}")):
        pass
