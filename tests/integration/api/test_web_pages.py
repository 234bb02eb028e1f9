"""The web pages and their assets: content security policy, caching and compression."""

import gzip
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runtime.migrations import ROOT
from runtime.settings import settings
from server import web_pages
from tests.api import Api, running_api

PAGE = '<!doctype html><script type="module" src="/assets/graphiql-1a2B3c4D.js"></script>'
SOURCES = sorted((ROOT / "dashboard").glob("*.html"))
BUILT = sorted(web_pages.BUILT.glob("*.html"))
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def api_with_pages(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API that serves the test's own pages."""
    monkeypatch.setattr(web_pages, "BUILT", tmp_path)
    (tmp_path / "graphiql.html").write_text(PAGE)
    (tmp_path / "graphiql-1a2B3c4D.js").write_text("0;")
    with running_api(settings()) as running:
        yield running


class References(HTMLParser):
    """Collects the URLs that a page loads, and its inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._inside = tag
        self.loaded += [value for name in ("src", "href") if (value := found.get(name))]
        self.inline += [name for name in found if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # the signature of HTMLParser
        self._inside = ""


def test_a_browser_gets_graphiql_with_a_policy_against_loading_from_other_sites(api_with_pages: Api) -> None:
    page = api_with_pages.get("/graphql", Accept="text/html,application/xhtml+xml,*/*;q=0.8")

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_assets_are_immutable_for_caches(api_with_pages: Api) -> None:
    file = api_with_pages.get("/assets/graphiql-1a2B3c4D.js")

    assert (file.status_code, file.text) == (200, "0;")
    assert file.headers["content-type"] == "text/javascript; charset=utf-8"
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["x-content-type-options"] == "nosniff"


def test_an_asset_compressed_at_build_time_is_sent_to_clients_that_accept_gzip(
    api_with_pages: Api, tmp_path: Path
) -> None:
    (tmp_path / "graphiql-1a2B3c4D.js.gz").write_bytes(gzip.compress(b"1;"))

    small = api_with_pages.get("/assets/graphiql-1a2B3c4D.js", **{"Accept-Encoding": "gzip, deflate, br"})
    plain = api_with_pages.get("/assets/graphiql-1a2B3c4D.js", **{"Accept-Encoding": "identity"})

    assert (small.text, plain.text) == ("1;", "0;")
    assert (small.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert {answer.headers["content-type"] for answer in (small, plain)} == {"text/javascript; charset=utf-8"}
    assert {answer.headers["vary"] for answer in (small, plain)} == {"Accept-Encoding, Origin"}
    assert api_with_pages.get("/assets/graphiql-1a2B3c4D.js.gz").status_code == 404


@pytest.mark.parametrize(
    "path", ["graphiql.html", "graphiql-00000000.js", "", ".as-written", "../graphiql.html", "%2e%2e/vite-12345678.ts"]
)
def test_only_files_with_a_hash_in_their_name_are_served_as_assets(api_with_pages: Api, path: str) -> None:
    assert api_with_pages.get(f"/assets/{path}").status_code == 404


def test_a_browser_gets_build_instructions_if_the_page_is_not_built(api_with_pages: Api) -> None:
    (web_pages.BUILT / "graphiql.html").unlink()

    page = api_with_pages.get("/graphql", Accept="text/html")

    assert page.status_code == 503
    assert "make dashboard" in page.text
    assert page.headers["content-security-policy"] == POLICY
    assert api_with_pages.get("/graphql", Accept="application/json").status_code == 401


def test_the_api_starts_without_the_folder_of_built_pages(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_pages, "BUILT", tmp_path / "never")
    with running_api(settings()) as running:
        assert running.get("/assets/graphiql-1a2B3c4D.js").status_code == 404
        assert running.get("/graphql", Accept="text/html").status_code == 503


def test_the_index_has_the_same_content_security_policy(api: Api) -> None:
    assert api.get("/", Accept="text/html").headers["content-security-policy"] == POLICY


@pytest.mark.parametrize("page", [*SOURCES, *BUILT], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_page_loads_from_its_own_origin_and_runs_nothing_inline(page: Path) -> None:
    found = References()
    found.feed(page.read_text())

    assert found.inline == []
    assert [url for url in found.loaded if not re.match(r"/assets/|/app/|\./|data:,$", url)] == []


def test_the_dashboard_folder_has_two_pages() -> None:
    assert [page.name for page in SOURCES] == ["dashboard.html", "graphiql.html"]
