"""The dashboard's page at each of its paths and at no other, and the document with its sign-in options."""

import http.client
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.migrations import ROOT
from runtime.settings import settings
from server import web_pages
from server.dashboard import PAGE_PATH
from tests import attacks
from tests.api import TIMEOUT, Api, Client, Facts, running_api
from tests.http_client import HTTP
from tests.identity_provider import AUDIENCE, IdentityProvider, identity_provider
from tests.run_harness import RunHarness

PAGE = '<!doctype html><script type="module" src="/assets/dashboard-1a2B3c4D.js"></script>'
SIGN_IN = "/dashboard/sign-in.json"
PATHS = [
    "/dashboard",
    "/dashboard/",
    "/dashboard/tenants",
    "/dashboard/tenants/",
    "/dashboard/tenants/books",
    "/dashboard/tenants/books/",
    "/dashboard/tenants/books.v2.js",
    "/dashboard/tenants/...",
    "/dashboard/audit",
    "/dashboard/people",
    "/dashboard/signed-in",
]
NO_PATHS = [
    "/dashboard/assets/nope.js",
    "/dashboard/assets/nope",
    "/dashboard/nope.unknown",
    "/dashboard/dashboard-1a2B3c4D.js.map",
    "/dashboard/dashboard.html",
    "/dashboard/x.json",
    "/dashboard/nowhere",
    "/dashboard/tenants/books/runs/1",
    "/dashboard/tenants.js",
    "/dashboard//tenants",
    "/dashboard/../dashboard.html",
    "/dashboard/%2e%2e/assets/dashboard-1a2B3c4D.js",
    "/dashboard/tenants/..",
    "/dashboard/tenants/../",
    "/dashboard/tenants/..%2f..%2fetc%2fpasswd",
    "/dashboard/tenants/%2e%2e/%2e%2e/x",
]
TOKENS = {
    "support": "of support",
    "globex": {"owner": "of Olive", "partner": "tnt_2"},
    "acme": {"owner": "of Ada", "admin": "of Adam", "viewer": "of Vera", "partner": "tnt_1"},
}


@pytest.fixture(autouse=True)
def built_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve the test's own page."""
    monkeypatch.setattr(web_pages, "BUILT", tmp_path)
    (tmp_path / "dashboard.html").write_text(PAGE)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def oidc_api(harness: RunHarness, redis_url: str, provider: IdentityProvider) -> Iterator[Api]:
    """An API with a dashboard that signs members in with the provider."""
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "oidc_client_id": "dashboard"}
    with running_api(harness.settings.model_copy(update=more)) as running:
        yield running


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def seeded_api(database_url: str, redis_url: str, tokens: Path) -> Iterator[Api]:
    """An API as the development server starts it: the file of tokens does not exist yet."""
    with running_api(settings().model_copy(update={"seeded_tokens": str(tokens)})) as running:
        yield running


def policy(connect_sources: str = "'self'") -> str:
    return (
        f"default-src 'none'; script-src 'self'; worker-src 'self'; connect-src {connect_sources}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def request(api: Api, method: str, path: str) -> httpx.Response:
    return HTTP.request(method, f"http://{api.address}{path}", timeout=TIMEOUT)


def response_text(api: Api, token: str) -> str:
    return Client(api.address, f"Bearer {token}").post("{ viewer { scopes } }").text


def sign_in_options(api: Api, **headers: str) -> Facts:
    answer = api.get(SIGN_IN, **headers)
    assert answer.status_code == HTTPStatus.OK, answer.text
    body: Facts = answer.json()
    return body


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_the_dashboard_serves_its_page(api: Api, path: str) -> None:
    page = api.get(path)

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == policy()
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_of_no_page_is_not_found_and_the_page_says_so_to_browsers(api: Api, path: str) -> None:
    """Sent as it is, because httpx resolves dots."""
    program, browser = (raw_get(api, path, accept) for accept in ("*/*", "text/html,*/*;q=0.8"))

    assert (program.status, program.codes) == (404, ["NOT_FOUND"])
    assert browser.status == 404
    assert browser.text.endswith(PAGE)


def raw_get(api: Api, path: str, accept: str) -> attacks.Reply:
    connection = http.client.HTTPConnection(api.address, timeout=TIMEOUT)
    connection.request("GET", path, headers={"Accept": accept})
    response = connection.getresponse()
    reply = attacks.Reply(response.status, response.read().decode())
    connection.close()
    return reply


def test_the_server_knows_the_paths_of_all_pages() -> None:
    app = (ROOT / "dashboard" / "app" / "app.tsx").read_text()
    options = (ROOT / "dashboard" / "app" / "sign-in" / "options.ts").read_text()
    routed = re.findall(r'path="(/[^"]*)"', app) + re.findall(r'RETURN_PATH = "(/[^"]*)"', options)

    assert len(routed) == 5
    assert [path for path in routed if not PAGE_PATH.fullmatch(f"/dashboard{path.replace(':key', 'books')}")] == []


@pytest.mark.parametrize("path", [*PATHS, SIGN_IN])
def test_the_dashboards_paths_allow_only_get_and_head(api: Api, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        refused = request(api, method, path)

        assert refused.status_code == 405
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (request(api, "HEAD", path).status_code, request(api, "HEAD", path).text) == (200, "")


def test_a_browser_gets_build_instructions_if_the_dashboard_is_not_built(api: Api) -> None:
    (web_pages.BUILT / "dashboard.html").unlink()

    page = api.get("/dashboard/tenants")

    assert page.status_code == 503
    assert "make dashboard" in page.text
    assert page.headers["content-security-policy"] == policy()


def test_the_index_lists_the_dashboard_first(api: Api) -> None:
    assert next(iter(api.get("/").json()["places"])) == "/dashboard"


def test_the_sign_in_has_no_options_without_a_provider_and_seeded_tokens(api: Api) -> None:
    answer = api.get(SIGN_IN)

    assert answer.json() == {"provider": None, "seeded": []}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_the_sign_in_options_have_the_providers_endpoints(oidc_api: Api, provider: IdentityProvider) -> None:
    assert sign_in_options(oidc_api) == {
        "provider": {
            "issuer": provider.issuer,
            "clientId": "dashboard",
            "authorizationEndpoint": f"{provider.issuer}/authorize",
            "tokenEndpoint": f"{provider.issuer}/token",
            "scope": "openid email",
            "audience": AUDIENCE,
        },
        "seeded": [],
    }


def test_the_policy_allows_connections_to_the_provider(oidc_api: Api, provider: IdentityProvider) -> None:
    page = oidc_api.get("/dashboard")

    assert page.headers["content-security-policy"] == policy(f"'self' {provider.issuer}")
    assert oidc_api.get("/", Accept="text/html").headers["content-security-policy"] == policy()


def test_the_policy_allows_connections_to_the_providers_token_endpoint(
    oidc_api: Api, provider: IdentityProvider
) -> None:
    provider.discovery_overrides["token_endpoint"] = "https://tokens.example/oauth2/token"

    page = oidc_api.get("/dashboard")

    assert page.headers["content-security-policy"] == policy(f"'self' {provider.issuer} https://tokens.example")


def test_the_providers_keys_and_endpoints_are_fetched_once(oidc_api: Api, provider: IdentityProvider) -> None:
    for _ in range(3):
        oidc_api.get("/dashboard")
        sign_in_options(oidc_api)
    response_text(oidc_api, provider.token(sub="unknown", email="unknown@nowhere.example"))

    assert set(provider.requests.values()) == {1}


def test_a_provider_without_a_client_id_is_not_a_sign_in_option(
    harness: RunHarness, redis_url: str, provider: IdentityProvider
) -> None:
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
    with running_api(harness.settings.model_copy(update=more)) as api:
        assert sign_in_options(api) == {"provider": None, "seeded": []}
        assert api.get("/dashboard").headers["content-security-policy"] == policy()
    assert not provider.requests


def test_while_the_provider_is_unreachable_the_page_is_served_and_the_sign_in_is_unavailable(
    oidc_api: Api, provider: IdentityProvider
) -> None:
    provider.unavailable = True

    page, answer = oidc_api.get("/dashboard"), oidc_api.get(SIGN_IN)

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-security-policy"] == policy(f"'self' {provider.issuer}")
    assert answer.status_code == 503
    (error,) = answer.json()["errors"]
    assert error["message"].startswith("The identity provider cannot be reached")
    assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "overrides",
    [
        {"authorization_endpoint": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://tokens.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "https://[tokens.example"},
        {"token_endpoint": ["https://tokens.example"]},
    ],
    ids=str,
)
def test_a_missing_or_unsafe_endpoint_is_not_passed_on_while_tokens_are_still_accepted(
    oidc_api: Api, provider: IdentityProvider, overrides: dict[str, Any]
) -> None:
    provider.discovery_overrides |= overrides

    assert oidc_api.get(SIGN_IN).status_code == 503
    assert oidc_api.get("/dashboard").headers["content-security-policy"] == policy(f"'self' {provider.issuer}")
    assert "ask for an invitation" in response_text(
        oidc_api, provider.token(sub="unknown", email="unknown@nowhere.example")
    )


def test_seeded_tokens_are_sign_in_options_as_soon_as_their_file_exists(seeded_api: Api, tokens: Path) -> None:
    before = sign_in_options(seeded_api)
    tokens.write_text(json.dumps(TOKENS))
    after = sign_in_options(seeded_api, **{"Sec-Fetch-Site": "same-origin"})

    assert before == {"provider": None, "seeded": []}
    assert [tuple(one.values()) for one in after["seeded"]] == [
        ("acme", "owner", "of Ada"),
        ("acme", "admin", "of Adam"),
        ("acme", "viewer", "of Vera"),
        ("acme", "partner", "tnt_1"),
        ("globex", "owner", "of Olive"),
        ("globex", "partner", "tnt_2"),
        (None, "support", "of support"),
    ]
    assert set(after["seeded"][0]) == {"organization", "role", "token"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"X-Forwarded-For": "192.0.2.7"},
    ],
    ids=str,
)
def test_seeded_tokens_are_not_offered_to_requests_from_elsewhere(
    seeded_api: Api, tokens: Path, headers: dict[str, str]
) -> None:
    tokens.write_text(json.dumps(TOKENS))

    assert sign_in_options(seeded_api)["seeded"]
    assert sign_in_options(seeded_api, **headers)["seeded"] == []


def test_seeded_tokens_are_not_offered_to_pages_of_allowed_origins(
    database_url: str, redis_url: str, tokens: Path
) -> None:
    tokens.write_text(json.dumps(TOKENS))
    console = "https://console.example"
    more = {"seeded_tokens": str(tokens), "allowed_origins": (console,)}
    with running_api(settings().model_copy(update=more)) as api:
        assert sign_in_options(api, Origin=console)["seeded"] == []
