"""An OpenID Connect provider for tests, with keys, claims and documents that a test may change."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
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
    """Publishes its keys, signs tokens with them, and counts the requests by path."""

    issuer: str
    claimed_issuer: str | None = None
    discovery_overrides: dict[str, Any] = field(default_factory=dict)
    unavailable: bool = False
    keys: dict[str, tuple[str, PrivateKeyTypes]] = field(default_factory=dict)
    extra_keys: list[dict[str, Any]] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)

    def new_key(self, name: str, algorithm: str = "RS256") -> None:
        """Create a key and publish it."""
        curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}.get(algorithm)
        key = ec.generate_private_key(curve()) if curve else _new_rsa_key()
        self.keys[name] = (algorithm, key)

    def claims(self, **overrides: Any) -> dict[str, Any]:
        """The claims of a valid token, with overrides; a claim overridden with None is left out."""
        now = datetime.now(UTC)
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "ada-1",
            "iat": now,
            "exp": now + timedelta(minutes=10),
            "email": "ada@shop.example",
            "email_verified": True,
        } | overrides
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "one", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token signed with the key ``kid``; a header or claim given as None is left out."""
        algorithm, key = self.keys[kid]
        header = {name: value for name, value in ({"kid": kid} | (headers or {})).items() if value is not None}
        return jwt.encode(self.claims(**claims), key, algorithm, header)  # type: ignore[arg-type]  # they are private keys of these kinds

    def discovery_document(self) -> dict[str, Any]:
        """The document under DISCOVERY; a member overridden with None is left out."""
        document: dict[str, Any] = {
            "issuer": self.claimed_issuer or self.issuer,
            "jwks_uri": f"{self.issuer}{KEYS}",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
        } | self.discovery_overrides
        return {name: value for name, value in document.items() if value is not None}

    def key_set(self) -> dict[str, Any]:
        """The JSON Web Key Set under KEYS."""
        return {"keys": [*(self._public_key(name) for name in self.keys), *self.extra_keys]}

    def _public_key(self, name: str) -> dict[str, Any]:
        algorithm, key = self.keys[name]
        family = RSAAlgorithm if algorithm.startswith("RS") else ECAlgorithm
        public_key: dict[str, Any] = json.loads(family.to_jwk(key.public_key()))  # type: ignore[arg-type]  # they are of these kinds
        return public_key | {"kid": name, "alg": algorithm, "use": "sig"}


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Run a provider on a free port, for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.requests[self.path] += 1
            documents = {DISCOVERY: provider.discovery_document(), KEYS: provider.key_set()}
            found = self.path in documents and not provider.unavailable
            body = json.dumps(documents.get(self.path)).encode()
            self.send_response(200 if found else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with provider_of(Handler) as provider:
        yield provider


@contextmanager
def provider_of(handler: type[BaseHTTPRequestHandler]) -> Iterator[IdentityProvider]:
    """Serve a provider with this handler on a free port, for the length of the block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}")
        provider.keys["one"] = ("RS256", _rsa_key_of_this_process())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join(5)


def _new_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def _rsa_key_of_this_process() -> rsa.RSAPrivateKey:
    """The first key of every provider: making one takes longer than a test. A later key is always new."""
    return _new_rsa_key()
