"""The pages for browsers, as ``dashboard/`` builds them, and what a browser may do on them."""

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

RULES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self'",
    "connect-src": "'self'",
    # Monaco, GraphiQL's editor, places its lines with styles of their own; so does React Aria with what floats.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""Everything comes from here, and nothing goes anywhere else."""


def headers(elsewhere: Sequence[str] = ()) -> dict[str, str]:
    """What a page carries whose scripts may ask these origins too."""
    rules = RULES | {"connect-src": " ".join([RULES["connect-src"], *elsewhere])}
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in rules.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


HEADERS = headers()
"""What every page carries that asks nobody but us."""

FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
HASHED = re.compile(r"[\w.-]+-[\w-]{8}\.[a-z0-9]+")
"""The name of a file that never changes, because it has a hash of its content in it."""

NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tenantry</title></head>
<body><h1>The pages for browsers are not built</h1>
<p>Run <code>make dashboard</code> where Tenantry is installed, then load this page again. <code>make up</code> does it
too. It needs nothing that is not here: where there is no Node, it fetches one.</p>
<p>Programs are served without it.</p></body></html>
"""


def page(name: str, built: Path | None = None, *, elsewhere: Sequence[str] = ()) -> Response:
    """One page, asked for anew each time, whose scripts may ask these origins too.

    Where nothing was built, a page that says what to do.
    """
    try:
        content = ((built or BUILT) / name).read_text()
    except FileNotFoundError:
        return HTMLResponse(NOT_BUILT, HTTPStatus.SERVICE_UNAVAILABLE, {**HEADERS, "Cache-Control": "no-store"})
    return HTMLResponse(content, headers={**headers(elsewhere), "Cache-Control": "no-cache", "Vary": "Accept"})


class Assets(StaticFiles):
    """Scripts, styles and fonts of the pages. They may be built while we run, or never."""

    def __init__(self, built: Path | None = None) -> None:
        super().__init__(directory=built or BUILT, check_dir=False)

    async def check_config(self) -> None:
        """Put up with a folder that is not there: nothing is found in it then."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with one file, compressed as it was built if the browser takes it so; the pages are none of them."""
        if not HASHED.fullmatch(path):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await self._compressed(path, scope) or await super().get_response(path, scope)
        response.headers.update(FOR_EVER)
        response.headers.add_vary_header("Accept-Encoding")
        return response

    async def _compressed(self, path: str, scope: Scope) -> Response | None:
        """None where there is no such file, or nobody wants it."""
        if "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return None
        with suppress(HTTPException):
            response = await super().get_response(f"{path}.gz", scope)
            response.headers["Content-Type"] = f"{mimetypes.guess_type(path)[0]}; charset=utf-8"  # texts alone are
            response.headers["Content-Encoding"] = "gzip"
            return response
        return None
