"""The judges of network addresses in the settings: hosts, web addresses, origins, proxies, and the broker.

A judge returns the address or raises ValueError with a reason that does not repeat it: it may contain a password.
"""

import re
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*\.?")
"""RFC 1035, and the underscore, which container networks have in their names."""

LONGEST_HOST_NAME = 253
A_HOST = (
    "a host name, of letters, digits and hyphens between dots, or an IP address; "
    "an international name has its form with xn--"
)

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
LONGEST_DOMAIN = LONGEST_HOST_NAME - 63 - 1
"""Characters of a host name without a tenant's label and its dot (RFC 1035, sections 2.3.4 and 3.1)."""

ADDRESS_CHARACTERS = re.compile(r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
"""RFC 3986, section 2."""

ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+)(?::([1-9]\d{0,4}))?", re.ASCII)
DEFAULT_PORTS = {"http": "80", "https": "443"}
LONGEST_ISSUER = 255
DATABASE_NUMBER = re.compile(r"/?\d{0,4}/?", re.ASCII)


def host(name: str) -> str:
    """Judge a host."""
    if not is_host(name):
        raise ValueError(f"must be {A_HOST}")
    return name


def domain(name: str) -> str:
    """Judge the domain of the tenants. Returns it in lower case."""
    lower = name.lower()
    if not DOMAIN.fullmatch(lower) or lower.rpartition(".")[2].isdigit():
        raise ValueError("must be a domain name, for example tenants.example.com")
    if len(lower) > LONGEST_DOMAIN:
        raise ValueError(f"must have at most {LONGEST_DOMAIN} characters, because a tenant's label precedes it")
    return lower


def page_address(url: str) -> str:
    """Judge the address of a web page, to which nothing is added."""
    base_address(url)
    _demand_no_login(url)
    return url


def base_address(url: str) -> str:
    """Judge a web address to which paths are added. It may contain a login."""
    if not ADDRESS_CHARACTERS.fullmatch(url):
        raise ValueError(
            "must not contain blanks or other characters that addresses do not have: write them as %20 and so on, "
            "and an international domain in its form with xn--"
        )
    parts = _split(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must be an http or https address, for example https://console.example.com")
    if not _has_valid_port(parts):
        raise ValueError("must have a port from 1 to 65535, or none")
    if not is_host(parts.hostname or ""):
        raise ValueError(f"must have, after {parts.scheme}://, {A_HOST}")
    for mark, name in (("?", "query"), ("#", "fragment")):
        if mark in url:
            raise ValueError(f"must have no {name}: remove the {mark} and what follows it")
    return url


def issuer(url: str) -> str:
    """Judge the issuer of an OpenID Connect provider (OpenID Connect Discovery, section 3)."""
    page_address(url)
    if not is_secure_url(url):
        raise ValueError("must be an https address; only on this machine may it be http")
    if len(url) > LONGEST_ISSUER:
        raise ValueError(f"must have at most {LONGEST_ISSUER} characters")
    return url


def origins(given: tuple[str, ...]) -> tuple[str, ...]:
    """Judge origins: they have to be in the form in which browsers send them."""
    for origin in given:
        page_address(origin)
        if _split(origin).path:
            raise ValueError("must list origins without a path: remove what follows the host and the port")
        if not is_origin(origin):
            raise ValueError(
                "must list origins as browsers send them: the host name in lower case, and no port that is the "
                "default of the scheme, for example https://console.example.com"
            )
    return given


def proxies(given: tuple[str, ...]) -> tuple[str, ...]:
    """Judge addresses and networks."""
    try:
        networks = [ip_network(proxy) for proxy in given]
    except ValueError:
        raise ValueError("must be a list of IP addresses and networks, for example 10.0.0.7, 10.1.0.0/16") from None
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("must name the proxies: a network of all addresses would believe every client")
    return given


def broker_address(url: str) -> str:
    """Judge the address of the broker, but not its parameters: only its client knows them."""
    parts = _split(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if "#" in url:
        raise ValueError("must have no fragment: write a # in a password as %23")
    if parts.scheme == "unix":
        if parts.hostname or not parts.path.strip("/"):
            raise ValueError("must name the socket after three slashes, for example unix:///run/valkey.sock")
        return url
    if not _has_valid_port(parts):
        raise ValueError("must have a port from 1 to 65535, or none")
    if not is_host(parts.hostname or ""):
        raise ValueError(f"must name the host, for example redis://127.0.0.1:6379/0: {A_HOST}")
    if not DATABASE_NUMBER.fullmatch(parts.path):
        raise ValueError("must end with a database number, for example redis://127.0.0.1:6379/0, or without a path")
    return url


def is_host(name: str) -> bool:
    """Whether a resolver could take it for the name or the address of a host."""
    if is_ip_address(name):
        return True
    last = name.removesuffix(".").rpartition(".")[2]
    return len(name) <= LONGEST_HOST_NAME and bool(HOST_NAME.fullmatch(name)) and not last.isdigit()


def is_ip_address(name: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_port(written: str) -> bool:
    """Whether it is a port, as a person writes it."""
    return written.isascii() and written.isdigit() and 1 <= int(written[:6]) <= 65535


def is_origin(url: str) -> bool:
    """Whether it is an origin in the form in which browsers send it, with a host name or an IPv4 address."""
    found = ORIGIN.fullmatch(url)
    if found is None:
        return False
    scheme, name, port = found.groups()
    return is_host(name) and port != DEFAULT_PORTS[scheme] and (port is None or is_port(port))


def is_secure_url(url: str) -> bool:
    """Whether the address is https, or http on this machine: then no other host can answer in its place."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not close
        return False
    usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and _has_valid_port(parts)
    return usable and (parts.scheme == "https" or is_loopback(parts.hostname))


def is_loopback(name: str | None) -> bool:
    """Whether the host is this machine."""
    return name == "localhost" or (is_ip_address(name or "") and ip_address(name or "").is_loopback)


def _demand_no_login(url: str) -> None:
    if "@" in _split(url).netloc:
        raise ValueError("must have no user name and no password: remove what is between // and @, and the @")


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # The message of the library quotes the address, which may contain a password.
        raise ValueError("must be an address") from None
