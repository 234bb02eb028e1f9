"""The pages that ``dashboard/`` builds, with their Content-Security-Policy."""

import mimetypes
import re
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

BUILT = Path(__file__).resolve().parents[1] / "dashboard" / "dist"

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self'",
    "connect-src": "'self'",
    # Monaco, GraphiQL's editor, positions its lines with inline styles; so does React Aria its overlays.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""Content-Security-Policy: pages load from, and send to, this origin only."""


def headers(connect_to: Sequence[str] = ()) -> dict[str, str]:
    """The headers of a page. Its scripts may also send requests to the origins in ``connect_to``."""
    policy = POLICY | {"connect-src": " ".join([POLICY["connect-src"], *connect_to])}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


HEADERS = headers()
"""The headers of a page that sends requests to this origin only."""

IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
HASHED_NAME = re.compile(r"[\w.-]+-[\w-]{8}\.[a-z0-9]+")
"""The name of a file that never changes, because the name contains a hash of the content."""

NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tenantry</title></head>
<body><h1>The pages for browsers are not built</h1>
<p>Run <code>make dashboard</code> or <code>make up</code> where Tenantry is installed, then load this page again. If
Node is not installed, the command fetches it.</p>
<p>The API works without these pages.</p></body></html>
"""


def page(name: str, built: Path | None = None, *, connect_to: Sequence[str] = ()) -> Response:
    """One page, revalidated by the browser each time; its scripts may send requests to ``connect_to``.

    If the pages are not built, a page that says how to build them.
    """
    try:
        content = ((built or BUILT) / name).read_text()
    except FileNotFoundError:
        return HTMLResponse(NOT_BUILT, HTTPStatus.SERVICE_UNAVAILABLE, {**HEADERS, "Cache-Control": "no-store"})
    return HTMLResponse(content, headers={**headers(connect_to), "Cache-Control": "no-cache", "Vary": "Accept"})


class Assets(StaticFiles):
    """Scripts, styles and fonts of the pages. The folder may appear while the process runs, or never."""

    def __init__(self, built: Path | None = None) -> None:
        super().__init__(directory=built or BUILT, check_dir=False)

    async def check_config(self) -> None:
        """Accept a missing folder: its files are then answered with 404."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve one file with a hashed name, from its compressed copy if the browser accepts gzip."""
        if not HASHED_NAME.fullmatch(path):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await self._compressed(path, scope) or await super().get_response(path, scope)
        response.headers.update(IMMUTABLE)
        response.headers.add_vary_header("Accept-Encoding")
        return response

    async def _compressed(self, path: str, scope: Scope) -> Response | None:
        """The compressed copy; None if there is none, or the browser does not accept gzip."""
        if "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return None
        with suppress(HTTPException):
            response = await super().get_response(f"{path}.gz", scope)
            response.headers["Content-Type"] = f"{mimetypes.guess_type(path)[0]}; charset=utf-8"  # only texts have one
            response.headers["Content-Encoding"] = "gzip"
            return response
        return None
