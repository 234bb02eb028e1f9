"""An identity provider that lets Ada in at once: the code flow with PKCE (RFC 7636), as her browser goes through it."""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.identity_provider import DISCOVERY, KEYS, IdentityProvider

CLIENT_ID = "tenantry-dashboard"
AUTHORIZE = "/authorize"
TOKEN = "/token"
GOOD_FOR = 600
"""Seconds."""


@dataclass
class CodeFlow:
    """Hands out codes, and for each of them a token, once, to whoever made the challenge that it was given for."""

    provider: IdentityProvider
    given: dict[str, dict[str, str]] = field(default_factory=dict)

    def way_back(self, asked: Mapping[str, str]) -> str:
        """Where a browser is sent that came to sign somebody in."""
        code = secrets.token_urlsafe(16)
        self.given[code] = dict(asked)
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def redeem(self, form: Mapping[str, str]) -> dict[str, Any] | None:
        """The tokens for a code; None when it was not given to whoever asks."""
        asked = self.given.pop(form.get("code", ""), None)
        if asked is None or not _same_one(asked, form):
            return None
        return {
            "access_token": self.provider.token(),
            # Many providers name the person to the page only here. Ours reads what the API is given.
            "id_token": self.provider.token(aud=asked["client_id"], nonce=asked.get("nonce"), email=None),
            "token_type": "Bearer",
            "expires_in": GOOD_FOR,
            "scope": asked["scope"],
        }


def _same_one(asked: Mapping[str, str], form: Mapping[str, str]) -> bool:
    shown = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(shown).decode().rstrip("=")
    same = all(form.get(name) == asked[name] for name in ("client_id", "redirect_uri"))
    return same and asked.get("code_challenge_method") == "S256" and challenge == asked.get("code_challenge")


@contextmanager
def letting_in() -> Iterator[IdentityProvider]:
    """One on a free port, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == AUTHORIZE:
                self._send_back(flow.way_back(dict(parse_qsl(address.query))))
                return
            answers = {DISCOVERY: provider.about(), KEYS: provider.published()}
            found = address.path in answers
            self._answer(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, answers.get(address.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            tokens = flow.redeem(dict(parse_qsl(body))) if self.path == TOKEN else None
            if tokens is None:
                self._answer(HTTPStatus.BAD_REQUEST, {"error": "invalid_grant"})
            else:
                self._answer(HTTPStatus.OK, tokens)

        def _send_back(self, address: str) -> None:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _answer(self, status: HTTPStatus, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            # The dashboard's page asks from its own origin.
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}")
        provider.new_key("one")
        flow = CodeFlow(provider)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join(5)
