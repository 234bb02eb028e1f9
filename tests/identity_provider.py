"""A small OpenID Connect provider on this machine, honest or not."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://api.tenantry.example"
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


@dataclass
class IdentityProvider:
    """Publishes keys and signs with them; counts how often it was asked."""

    issuer: str
    says_it_is: str | None = None
    more_about: dict[str, Any] = field(default_factory=dict)
    away: bool = False
    keys: dict[str, tuple[str, PrivateKeyTypes]] = field(default_factory=dict)
    more: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def new_key(self, name: str, algorithm: str = "RS256") -> None:
        """Publish one more key."""
        curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}.get(algorithm)
        key = ec.generate_private_key(curve()) if curve else rsa.generate_private_key(65537, 2048)
        self.keys[name] = (algorithm, key)

    def claims(self, **more: Any) -> dict[str, Any]:
        """What a sound token says; None leaves a claim out."""
        now = datetime.now(UTC)
        said = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada-1",
            "iat": now,
            "exp": now + timedelta(minutes=10),
            "email": "ada@shop.example",
            "email_verified": True,
        } | more
        return {name: value for name, value in said.items() if value is not None}

    def token(self, kid: str = "one", headers: dict[str, Any] | None = None, **more: Any) -> str:
        """A token signed with one of the keys."""
        algorithm, key = self.keys[kid]
        named = {name: value for name, value in ({"kid": kid} | (headers or {})).items() if value is not None}
        return jwt.encode(self.claims(**more), key, algorithm, named)  # type: ignore[arg-type]  # they are private keys of these kinds

    def about(self) -> dict[str, Any]:
        """The discovery document; None leaves something out."""
        said: dict[str, Any] = {
            "issuer": self.says_it_is or self.issuer,
            "jwks_uri": f"{self.issuer}{KEYS}",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
        } | self.more_about
        return {name: value for name, value in said.items() if value is not None}

    def published(self) -> dict[str, Any]:
        """The set of public keys."""
        return {"keys": [*(self._public(name) for name in self.keys), *self.more]}

    def _public(self, name: str) -> dict[str, Any]:
        algorithm, key = self.keys[name]
        kind = RSAAlgorithm if algorithm.startswith("RS") else ECAlgorithm
        described: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))  # type: ignore[arg-type]  # they are of these kinds
        return described | {"kid": name, "alg": algorithm, "use": "sig"}


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """One on a free port, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked[self.path] += 1
            answers = {DISCOVERY: provider.about(), KEYS: provider.published()}
            found = self.path in answers and not provider.away
            body = json.dumps(answers.get(self.path)).encode()
            self.send_response(200 if found else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}")
        provider.new_key("one")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join(5)
