"""What an active tenant serves."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from edge.standing import Standing

Document = dict[str, Any]
Page = Callable[[str, Standing], tuple[HTTPStatus, Document]]
"""Takes the tenant's own address on the web and how it stands."""


def front(url: str, _: Standing) -> tuple[HTTPStatus, Document]:
    """Say what is here."""
    return HTTPStatus.OK, {
        "status": "active",
        "issuer": url,
        "openid_configuration": f"{url}/.well-known/openid-configuration",
        "jwks": f"{url}/.well-known/jwks.json",
        "health": f"{url}/healthz",
    }


def health(_url: str, standing: Standing) -> tuple[HTTPStatus, Document]:
    """Say whether the tenant could do its work."""
    if standing.public_jwk is None:
        return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unwell", "message": "The signing key is missing."}
    return HTTPStatus.OK, {"status": "ok"}


def discovery(url: str, _: Standing) -> tuple[HTTPStatus, Document]:
    """Describe the provider as OpenID Connect Discovery 1.0, section 3, wants it."""
    return HTTPStatus.OK, {
        "issuer": url,
        "authorization_endpoint": f"{url}/authorize",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "response_types_supported": ["id_token"],
        "grant_types_supported": ["implicit"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce"],
    }


def keys(_url: str, standing: Standing) -> tuple[HTTPStatus, Document]:
    """Publish the public key."""
    return HTTPStatus.OK, {"keys": [standing.public_jwk] if standing.public_jwk else []}


def authorize(_url: str, _: Standing) -> tuple[HTTPStatus, Document]:
    """Refuse, truly: a new tenant has no applications."""
    return HTTPStatus.BAD_REQUEST, {
        "error": "unauthorized_client",
        "error_description": "No application is registered with this tenant.",
    }


PAGES: dict[str, Page] = {
    "/": front,
    "/healthz": health,
    "/.well-known/openid-configuration": discovery,
    "/.well-known/jwks.json": keys,
    "/authorize": authorize,
}
