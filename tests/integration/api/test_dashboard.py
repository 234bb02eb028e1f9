"""How people come to the dashboard: the page at each of its addresses, and what its sign-in offers to whom."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.settings import settings
from server import web_pages
from tests.api import TIMEOUT, Api, Client, Facts, running_api
from tests.identity_provider import AUDIENCE, IdentityProvider, identity_provider
from tests.run_harness import RunHarness

PAGE = '<!doctype html><script type="module" src="/assets/dashboard-1a2B3c4D.js"></script>'
SIGN_IN = "/dashboard/sign-in.json"
PLACES = ["/dashboard", "/dashboard/", "/dashboard/tenants", "/dashboard/tenants/books/runs/1", "/dashboard/x.json"]
TOKENS = {
    "support": "of support",
    "globex": {"owner": "of Olive", "partner": "tnt_2"},
    "acme": {"owner": "of Ada", "admin": "of Adam", "viewer": "of Vera", "partner": "tnt_1"},
}


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the test's own."""
    monkeypatch.setattr(web_pages, "BUILT", tmp_path)
    (tmp_path / "dashboard.html").write_text(PAGE)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def signing(harness: RunHarness, redis_url: str, provider: IdentityProvider) -> Iterator[Api]:
    """An API whose dashboard signs people in with the provider."""
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "oidc_client_id": "dashboard"}
    with running_api(harness.settings.model_copy(update=more)) as running:
        yield running


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
def seeded(database_url: str, redis_url: str, tokens: Path) -> Iterator[Api]:
    """An API as the development server starts it: before there are tokens."""
    with running_api(settings().model_copy(update={"seeded_tokens": str(tokens)})) as running:
        yield running


def policy(connects: str = "'self'") -> str:
    return (
        f"default-src 'none'; script-src 'self'; worker-src 'self'; connect-src {connects}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def asked(api: Api, method: str, path: str) -> httpx.Response:
    return httpx.request(method, f"http://{api.address}{path}", timeout=TIMEOUT, trust_env=False)


def answer_to(api: Api, token: str) -> str:
    return Client(api.address, f"Bearer {token}").post("{ viewer { scopes } }").text


def offered(api: Api, **headers: str) -> Facts:
    answer = api.get(SIGN_IN, **headers)
    assert answer.status_code == HTTPStatus.OK, answer.text
    body: Facts = answer.json()
    return body


@pytest.mark.parametrize("path", PLACES)
def test_every_address_of_the_dashboard_is_its_page(api: Api, path: str) -> None:
    page = api.get(path)

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == policy()
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", [*PLACES, SIGN_IN])
def test_they_are_only_read(api: Api, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        refused = asked(api, method, path)

        assert refused.status_code == 405
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (asked(api, "HEAD", path).status_code, asked(api, "HEAD", path).text) == (200, "")


def test_where_it_is_not_built_a_browser_learns_how_to(api: Api) -> None:
    (web_pages.BUILT / "dashboard.html").unlink()

    page = api.get("/dashboard/tenants")

    assert page.status_code == 503
    assert "make dashboard" in page.text
    assert page.headers["content-security-policy"] == policy()


def test_the_first_page_leads_to_it(api: Api) -> None:
    assert next(iter(api.get("/").json()["places"])) == "/dashboard"


def test_without_a_provider_and_a_seed_the_sign_in_offers_nothing(api: Api) -> None:
    answer = api.get(SIGN_IN)

    assert answer.json() == {"provider": None, "seeded": []}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_the_sign_in_says_where_people_sign_in(signing: Api, provider: IdentityProvider) -> None:
    assert offered(signing) == {
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


def test_the_page_may_ask_the_provider(signing: Api, provider: IdentityProvider) -> None:
    page = signing.get("/dashboard")

    assert page.headers["content-security-policy"] == policy(f"'self' {provider.issuer}")
    assert signing.get("/", Accept="text/html").headers["content-security-policy"] == policy()


def test_the_page_may_ask_for_tokens_where_the_provider_says(signing: Api, provider: IdentityProvider) -> None:
    provider.discovery_overrides["token_endpoint"] = "https://tokens.example/oauth2/token"

    page = signing.get("/dashboard")

    assert page.headers["content-security-policy"] == policy(f"'self' {provider.issuer} https://tokens.example")


def test_the_provider_is_asked_once_for_keys_and_addresses(signing: Api, provider: IdentityProvider) -> None:
    for _ in range(3):
        signing.get("/dashboard")
        offered(signing)
    answer_to(signing, provider.token(sub="nobody", email="nobody@nowhere.example"))

    assert set(provider.requests.values()) == {1}


def test_a_provider_without_a_client_of_ours_is_not_offered(
    harness: RunHarness, redis_url: str, provider: IdentityProvider
) -> None:
    more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
    with running_api(harness.settings.model_copy(update=more)) as api:
        assert offered(api) == {"provider": None, "seeded": []}
        assert api.get("/dashboard").headers["content-security-policy"] == policy()
    assert not provider.requests


def test_while_the_provider_is_away_the_page_comes_and_the_sign_in_says_so(
    signing: Api, provider: IdentityProvider
) -> None:
    provider.unavailable = True

    page, answer = signing.get("/dashboard"), signing.get(SIGN_IN)

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-security-policy"] == policy(f"'self' {provider.issuer}")
    assert answer.status_code == 503
    (error,) = answer.json()["errors"]
    assert error["message"].startswith("The identity provider cannot be reached")
    assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "about",
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
def test_an_address_that_is_missing_or_unsafe_is_not_passed_on_and_tokens_are_taken_all_the_same(
    signing: Api, provider: IdentityProvider, about: dict[str, Any]
) -> None:
    provider.discovery_overrides |= about

    assert signing.get(SIGN_IN).status_code == 503
    assert signing.get("/dashboard").headers["content-security-policy"] == policy(f"'self' {provider.issuer}")
    assert "ask for an invitation" in answer_to(signing, provider.token(sub="nobody", email="nobody@nowhere.example"))


def test_the_seeds_tokens_are_offered_as_soon_as_they_are_there(seeded: Api, tokens: Path) -> None:
    before = offered(seeded)
    tokens.write_text(json.dumps(TOKENS))
    after = offered(seeded, **{"Sec-Fetch-Site": "same-origin"})

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
def test_nobody_else_is_offered_them(seeded: Api, tokens: Path, headers: dict[str, str]) -> None:
    tokens.write_text(json.dumps(TOKENS))

    assert offered(seeded)["seeded"]
    assert offered(seeded, **headers)["seeded"] == []


def test_they_are_read_by_no_page_of_another_site_however_it_was_allowed(
    database_url: str, redis_url: str, tokens: Path
) -> None:
    tokens.write_text(json.dumps(TOKENS))
    console = "https://console.example"
    more = {"seeded_tokens": str(tokens), "allowed_origins": (console,)}
    with running_api(settings().model_copy(update=more)) as api:
        assert offered(api, Origin=console)["seeded"] == []
