"""An identity provider that signs its one user in without a form: the authorization code flow with PKCE (RFC 7636)."""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.identity_provider import DISCOVERY, KEYS, IdentityProvider, provider_of

CLIENT_ID = "tenantry-dashboard"
AUTHORIZE = "/authorize"
TOKEN = "/token"
TOKEN_LIFETIME = 600
"""Seconds."""


@dataclass
class CodeFlow:
    """Issues codes, and exchanges each code for tokens once, if the request has the challenge's verifier."""

    provider: IdentityProvider
    issued: dict[str, dict[str, str]] = field(default_factory=dict)

    def redirect_url(self, request: Mapping[str, str]) -> str:
        """The URL to which the browser is redirected after the sign-in."""
        code = secrets.token_urlsafe(16)
        self.issued[code] = dict(request)
        return f"{request['redirect_uri']}?{urlencode({'code': code, 'state': request['state']})}"

    def exchange(self, form: Mapping[str, str]) -> dict[str, Any] | None:
        """The tokens for a code; None if the code is unknown or was issued for another request."""
        request = self.issued.pop(form.get("code", ""), None)
        if request is None or not _matches(request, form):
            return None
        return {
            "access_token": self.provider.token(),
            # Many providers put the e-mail address into the ID token only. Ours must read it from the access token.
            "id_token": self.provider.token(aud=request["client_id"], nonce=request.get("nonce"), email=None),
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME,
            "scope": request["scope"],
        }


def _matches(request: Mapping[str, str], form: Mapping[str, str]) -> bool:
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    same = all(form.get(name) == request[name] for name in ("client_id", "redirect_uri"))
    return same and request.get("code_challenge_method") == "S256" and challenge == request.get("code_challenge")


@contextmanager
def running_provider() -> Iterator[IdentityProvider]:
    """Run the provider on a free port, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == AUTHORIZE:
                self._redirect(flow.redirect_url(dict(parse_qsl(url.query))))
                return
            documents = {DISCOVERY: provider.discovery_document(), KEYS: provider.key_set()}
            found = url.path in documents
            self._respond(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, documents.get(url.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            tokens = flow.exchange(dict(parse_qsl(body))) if self.path == TOKEN else None
            if tokens is None:
                self._respond(HTTPStatus.BAD_REQUEST, {"error": "invalid_grant"})
            else:
                self._respond(HTTPStatus.OK, tokens)

        def _redirect(self, url: str) -> None:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _respond(self, status: HTTPStatus, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            # The dashboard sends its requests from another origin.
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with provider_of(Handler) as provider:
        flow = CodeFlow(provider)
        yield provider
