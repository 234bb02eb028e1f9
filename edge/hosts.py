"""Recognises the host names of tenants."""

import re
from urllib.parse import urlsplit

from runtime.settings import Settings

# <tenant>-<organisation>. A name without a hyphen belongs to the product, for example www or api.
ADDRESS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


def is_tenant_host(host: str, settings: Settings) -> bool:
    """Whether a request with this Host header is for a tenant, existing or not, rather than for the product."""
    return host_name(host) != urlsplit(settings.console_url).hostname and address_of(host, settings) is not None


def address_of(host: str, settings: Settings) -> str | None:
    """The tenant's address in a Host header; None if the host name cannot be a tenant's."""
    address, _, domain = host_name(host).partition(".")
    return address if domain == settings.tenant_domain and ADDRESS.fullmatch(address) else None


def host_name(host: str) -> str:
    """The host name in a Host header, in lower case, without port and final dot."""
    return host.rsplit(":", 1)[0].removesuffix(".").lower()
