"""What browsers get: pages that may load nothing from elsewhere, and files of theirs that may be kept for ever."""

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
def built(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API with pages of the test's own."""
    monkeypatch.setattr(web_pages, "BUILT", tmp_path)
    (tmp_path / "graphiql.html").write_text(PAGE)
    (tmp_path / "graphiql-1a2B3c4D.js").write_text("0;")
    with running_api(settings()) as running:
        yield running


class References(HTMLParser):
    """What a page loads, and what it runs by itself."""

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

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # the original's signature
        self._inside = ""


def test_a_browser_gets_graphiql_and_is_told_to_load_nothing_from_elsewhere(built: Api) -> None:
    page = built.get("/graphql", Accept="text/html,application/xhtml+xml,*/*;q=0.8")

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_its_files_may_be_kept_for_ever(built: Api) -> None:
    file = built.get("/assets/graphiql-1a2B3c4D.js")

    assert (file.status_code, file.text) == (200, "0;")
    assert file.headers["content-type"] == "text/javascript; charset=utf-8"
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["x-content-type-options"] == "nosniff"


def test_its_files_are_sent_as_they_were_compressed_when_they_were_built(built: Api, tmp_path: Path) -> None:
    (tmp_path / "graphiql-1a2B3c4D.js.gz").write_bytes(gzip.compress(b"1;"))

    small = built.get("/assets/graphiql-1a2B3c4D.js", **{"Accept-Encoding": "gzip, deflate, br"})
    plain = built.get("/assets/graphiql-1a2B3c4D.js", **{"Accept-Encoding": "identity"})

    assert (small.text, plain.text) == ("1;", "0;")
    assert (small.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert {answer.headers["content-type"] for answer in (small, plain)} == {"text/javascript; charset=utf-8"}
    assert {answer.headers["vary"] for answer in (small, plain)} == {"Accept-Encoding, Origin"}
    assert built.get("/assets/graphiql-1a2B3c4D.js.gz").status_code == 404


@pytest.mark.parametrize(
    "path", ["graphiql.html", "graphiql-00000000.js", "", ".as-written", "../graphiql.html", "%2e%2e/vite-12345678.ts"]
)
def test_nothing_else_is_served_from_there(built: Api, path: str) -> None:
    assert built.get(f"/assets/{path}").status_code == 404


def test_where_no_page_is_built_a_browser_learns_how_to(built: Api) -> None:
    (web_pages.BUILT / "graphiql.html").unlink()

    page = built.get("/graphql", Accept="text/html")

    assert page.status_code == 503
    assert "make dashboard" in page.text
    assert page.headers["content-security-policy"] == POLICY
    assert built.get("/graphql", Accept="application/json").status_code == 401


def test_without_the_whole_folder_only_files_are_missing(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_pages, "BUILT", tmp_path / "never")
    with running_api(settings()) as running:
        assert running.get("/assets/graphiql-1a2B3c4D.js").status_code == 404
        assert running.get("/graphql", Accept="text/html").status_code == 503


def test_the_first_page_is_as_strict(api: Api) -> None:
    assert api.get("/", Accept="text/html").headers["content-security-policy"] == POLICY


@pytest.mark.parametrize("page", [*SOURCES, *BUILT], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_page_loads_from_its_own_origin_and_runs_nothing_inline(page: Path) -> None:
    found = References()
    found.feed(page.read_text())

    assert found.inline == []
    assert [where for where in found.loaded if not re.match(r"/assets/|/app/|\./|data:,$", where)] == []


def test_there_are_pages() -> None:
    assert [page.name for page in SOURCES] == ["dashboard.html", "graphiql.html"]
