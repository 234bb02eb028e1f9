"""Which host names belong to tenants."""

import re
from urllib.parse import urlsplit

from runtime.settings import Settings

# <tenant>-<organisation>: without a hyphen it is a name of the product's own, such as www or api.
ADDRESS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


def is_tenant_host(host: str, settings: Settings) -> bool:
    """Whether a request with this Host header is for a tenant, known or not, and not for the product itself."""
    return host_name(host) != urlsplit(settings.console_url).hostname and address_of(host, settings) is not None


def address_of(host: str, settings: Settings) -> str | None:
    """Give the tenant's address that a Host header names; None when it cannot be one."""
    address, _, domain = host_name(host).partition(".")
    return address if domain == settings.tenant_domain and ADDRESS.fullmatch(address) else None


def host_name(host: str) -> str:
    """Give a Host header's name: without port, final dot and capitals."""
    return host.rsplit(":", 1)[0].removesuffix(".").lower()
