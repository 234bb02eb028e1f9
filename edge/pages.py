"""The pages of an active tenant."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from edge.tenants import EdgeTenant

Body = dict[str, Any]
Page = Callable[[str, EdgeTenant], tuple[HTTPStatus, Body]]
"""Takes the tenant's URL and the tenant."""


def index(url: str, _: EdgeTenant) -> tuple[HTTPStatus, Body]:
    """The tenant's URLs."""
    return HTTPStatus.OK, {
        "status": "active",
        "issuer": url,
        "openid_configuration": f"{url}/.well-known/openid-configuration",
        "jwks": f"{url}/.well-known/jwks.json",
        "health": f"{url}/healthz",
    }


def health(_url: str, tenant: EdgeTenant) -> tuple[HTTPStatus, Body]:
    """The health check: fails when the tenant has no signing key."""
    if tenant.public_jwk is None:
        return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unwell", "message": "The signing key is missing."}
    return HTTPStatus.OK, {"status": "ok"}


def discovery(url: str, _: EdgeTenant) -> tuple[HTTPStatus, Body]:
    """The discovery document (OpenID Connect Discovery 1.0, section 3)."""
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


def keys(_url: str, tenant: EdgeTenant) -> tuple[HTTPStatus, Body]:
    """The public key as a JSON Web Key Set."""
    return HTTPStatus.OK, {"keys": [tenant.public_jwk] if tenant.public_jwk else []}


def authorize(_url: str, _: EdgeTenant) -> tuple[HTTPStatus, Body]:
    """The refusal to sign a person in: no application is registered with the tenant."""
    return HTTPStatus.BAD_REQUEST, {
        "error": "unauthorized_client",
        "error_description": "No application is registered with this tenant.",
    }


PAGES: dict[str, Page] = {
    "/": index,
    "/healthz": health,
    "/.well-known/openid-configuration": discovery,
    "/.well-known/jwks.json": keys,
    "/authorize": authorize,
}
