"""The settings of the product: environment variables ``TENANTRY_…``, validated."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from email.utils import parseaddr
from enum import StrEnum
from functools import cache
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, parse_qs, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.masking import remember_secrets, without_secrets
from runtime.programs import OperatorError

PREFIX = "TENANTRY_"

BLANKS = re.compile(r"^[\s\u00ad\u200b-\u200d\u2060\ufeff]+|[\s\u00ad\u200b-\u200d\u2060\ufeff]+$")
"""What a file or an editor leaves at the ends of a value, visible or not: line feeds, blanks, byte order marks."""

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
"""How Python reads bytes of the environment that are not UTF-8."""

MAY_HAVE_LINES = frozenset({"secret_key", "smtp_password"})
"""Settings that are never part of a line of a protocol: openssl wraps long random keys."""

HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

FROM_KUBERNETES = re.compile(
    r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*|(.+_)?PORT=\w+://.*"
)
"""Variables, without the prefix, that Kubernetes sets in each container beside a service tenantry or tenantry-…"""

FOR_TESTS = re.compile(r"TEST_.+|CONFORMANCE")

BITS_OF_A_DIGIT = math.log2(10)
LEAST_GUESSES = 64
"""Bits: a secret key that takes fewer guesses is refused. A random one of 32 hexadecimal digits has 128."""

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LONGEST_DOMAIN = 253 - 63 - 1
"""Characters of a host name without a tenant's label and its dot (RFC 1035, sections 2.3.4 and 3.1)."""

REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")
HOST = re.compile(r"[\w.:-]*")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST_ISSUER = 255
FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
DATABASE_NUMBER = re.compile(r"/?\d{0,4}/?")

LONGEST_WAIT = timedelta(hours=1)
"""The maximum of any length of time: a lease of days would block the runs of a dead worker for days."""

OTHER_CONNECTIONS = 4
"""Connections of a worker process besides one per thread: heartbeat, cancel listener, sweeper, and one spare."""

LONGEST_PACE = timedelta(seconds=20)
"""Below the shortest timeout of a step, 30 seconds."""

PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class SettingsRefused(OperatorError):
    """A setting is missing or invalid. The message is one sentence for an operator."""


class WorldKind(StrEnum):
    """Which infrastructure the steps act on."""

    REAL = "real"
    SIMULATED = "simulated"


class DeployerKind(StrEnum):
    """Which built-in deployer runs the tenants' workloads."""

    EDGE = "edge"
    HTTP = "http"


class Settings(BaseSettings):
    """The settings, immutable. The variable of a field is ``TENANTRY_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", frozen=True, extra="ignore")

    database_url: str = Field(description="The product's own Postgres, for example postgresql://app@db/tenantry.")
    api_database_url: str = Field(
        default="",
        description="The same database with a login for API callers' requests; database_url when empty.",
    )
    tenants_database_url: str = Field(
        default="", description="The Postgres for the tenants' schemas; database_url when empty."
    )
    development: bool = Field(
        default=False,
        description="For development only: the tenants' schemas may be in the product's own database.",
    )
    redis_url: str = Field(description="The broker: any Redis protocol server, for example redis://127.0.0.1:6379/0.")
    secret_key: SecretStr = Field(
        description="At least 32 characters. Signs tokens and encrypts private keys; changing it invalidates both."
    )

    world: WorldKind = Field(default=WorldKind.REAL, description="real, or simulated to keep all resources in memory.")
    deployer: DeployerKind | str = Field(
        default=DeployerKind.EDGE,
        union_mode="left_to_right",
        description="edge (built in), http (your deployer), or your adapter as package.module:factory.",
    )
    deployer_url: str = Field(default="", description="Base address of your deployer; required when deployer is http.")
    deployer_token: SecretStr = Field(default=SecretStr(""), description="Bearer token sent to your deployer.")

    tenant_domain: str = Field(default="localhost", description="Domain under which tenants get their host names.")
    tenant_scheme: str = Field(default="http", description="http or https, in tenants' addresses.")
    tenant_port: int | None = Field(default=None, ge=1, le=65535, description="Port in tenants' addresses, if any.")
    regions: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("eu-central", "us-east"), description="Comma separated; the first is the default."
    )
    console_url: str = Field(default="http://localhost:8000", description="Address of the console, for links in mails.")

    smtp_host: str = Field(default="", description="Mail relay; no mail is sent when empty.")
    smtp_port: int = Field(default=25, ge=1, le=65535, description="Port of the mail relay.")
    smtp_username: str = Field(default="", description="User name at the mail relay; no login when empty.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password at the mail relay.")
    smtp_starttls: bool = Field(default=False, description="Whether to require STARTTLS.")
    allow_unencrypted_secrets: bool = Field(
        default=False,
        description="Whether the relay's password and the deployer's token may be sent unencrypted to another host.",
    )
    mail_from: str = Field(default="Tenantry <no-reply@tenantry.example>", description="Sender of every mail.")

    lease: timedelta = Field(default=timedelta(seconds=15), description="How long a lease lasts without renewal.")
    lease_renewal: timedelta = Field(default=timedelta(seconds=5), description="How often a worker renews its leases.")
    sweep_interval: timedelta = Field(default=timedelta(seconds=1), description="Longest pause between two sweeps.")
    forward_threads: int = Field(default=6, ge=1, le=256, description="Threads of a worker process for steps.")
    compensation_threads: int = Field(default=4, ge=1, le=256, description="Threads reserved for compensations.")
    adapter_calls: int = Field(
        default=8, ge=2, le=256, description="Concurrent calls of one adapter in one worker process."
    )
    undo_alarm: timedelta = Field(
        default=timedelta(minutes=2), description="How long the undo of a step may take before operators are warned."
    )
    drain_timeout: timedelta = Field(default=timedelta(seconds=20), description="How long a stopping worker waits.")
    pace: timedelta = Field(default=timedelta(0), description="Added to each forward step, for demonstrations.")

    oidc_issuer: str = Field(
        default="", description="Issuer of the OpenID Connect provider for sign-in; no provider when empty."
    )
    oidc_audience: str = Field(default="", description="Audience (aud) of its tokens; required with an issuer.")
    oidc_client_id: str = Field(
        default="",
        description="Client id of the dashboard at the provider; users paste tokens when empty.",
    )
    oidc_scope: str = Field(default="openid email", description="Scope that the dashboard requests from the provider.")
    oidc_trust_email: bool = Field(
        default=False,
        description="Whether the provider verifies every address, so that its tokens need no email_verified.",
    )
    signed_tokens: bool | None = Field(
        default=None,
        description="Whether to accept tokens of python -m server token; when empty, only without an issuer.",
    )
    seeded_tokens: str = Field(
        default="",
        description="A file of tokens that the dashboard's sign-in page offers to every user of this machine; "
        "for development, set by python -m devserver.",
    )

    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Other origins from which pages may call the API, comma separated."
    )
    trusted_documents: str = Field(default="", description="A JSON file of GraphQL documents by their SHA-256.")
    trusted_only: bool = Field(
        default=False, description="Whether callers without the right schema:read may send trusted documents only."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses and networks of trusted proxies, comma separated; only they may send X-Forwarded-For.",
    )
    sockets_per_address: int = Field(
        default=100, ge=1, description="Websockets without a token yet that one client address may have open."
    )
    sockets_per_caller: int = Field(default=100, ge=1, description="Websockets that one caller may have open.")
    max_connections: int = Field(
        default=10_000, ge=16, description="Connections that a process may have open; fewer if its file limit is low."
    )
    budget: int = Field(default=5000, ge=100, description="Rate limit: points that a caller may spend at once.")
    budget_refill: int = Field(default=500, ge=1, description="Rate limit: points that a caller regains each second.")

    database_pool: int = Field(default=20, ge=2, le=500, description="Connections a process may hold.")
    statement_timeout: timedelta = Field(default=timedelta(seconds=10), description="Timeout of one SQL statement.")
    lock_timeout: timedelta = Field(default=timedelta(seconds=5), description="Timeout of one wait for a lock.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")

    @model_validator(mode="before")
    @classmethod
    def _trimmed(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The same for every setting: blanks at its ends do not count, and an empty setting is not set."""
        trimmed = {name: BLANKS.sub("", value) if isinstance(value, str) else value for name, value in given.items()}
        return {name: value for name, value in trimmed.items() if value != ""}

    @field_validator("*", mode="before")
    @classmethod
    def _one_line(cls, value: object, field: ValidationInfo) -> object:
        if isinstance(value, str) and SURROGATE.search(value):
            raise ValueError("must be text in UTF-8")
        if isinstance(value, str) and field.field_name not in MAY_HAVE_LINES and CONTROL_CHARACTER.search(value):
            raise ValueError("must be one line without control characters")
        return value

    @field_validator("database_url", "api_database_url", "tenants_database_url")
    @classmethod
    def _postgres(cls, url: str) -> str:
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        try:
            parts = conninfo_to_dict(url)
        except ProgrammingError:
            # The message of libpq quotes the address, which may contain a password.
            raise ValueError("must be an address that libpq reads, for example postgresql://app@db/tenantry") from None
        if not all(_is_port(port) for port in str(parts.get("port", "")).split(",") if port):
            raise ValueError("must have a port from 1 to 65535, or none")
        if url and not parts.keys() & {"host", "hostaddr", "dbname", "service"}:
            # libpq would choose a server and a database by itself, by the name of the user who starts the process.
            raise ValueError("must name the server and the database, for example postgresql://app@db/tenantry")
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        parts = _split(url)
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if parts.scheme == "unix":
            if not parts.path.strip("/"):
                raise ValueError("must name the socket, for example unix:///run/valkey.sock")
            return url
        if not parts.hostname:
            raise ValueError("must name the host, for example redis://127.0.0.1:6379/0")
        if not _has_valid_port(parts):
            raise ValueError("must have a port from 1 to 65535, or none")
        if not DATABASE_NUMBER.fullmatch(parts.path):
            raise ValueError("must end with a database number, for example redis://127.0.0.1:6379/0, or without a path")
        return url

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters, not counting blanks at the start and the end")
        if _guesses(key.get_secret_value()) < LEAST_GUESSES:
            raise ValueError(
                "is easy to guess, because it repeats itself or consists of common words or sequences: "
                "use a random one, for example of openssl rand -hex 32"
            )
        return key

    @field_validator("deployer_token")
    @classmethod
    def _sendable(cls, token: SecretStr) -> SecretStr:
        if not HEADER_VALUE.fullmatch(token.get_secret_value()):
            raise ValueError("must consist of printable ASCII characters, because it is sent in a header")
        return token

    @field_validator("deployer")
    @classmethod
    def _kind_or_factory(cls, deployer: DeployerKind | str) -> DeployerKind | str:
        if not isinstance(deployer, DeployerKind) and not FACTORY.fullmatch(deployer):
            raise ValueError("must be edge, http, or a factory in the form package.module:factory")
        return deployer

    @field_validator("smtp_host")
    @classmethod
    def _host(cls, host: str) -> str:
        if not HOST.fullmatch(host):
            raise ValueError("must be a host name or an IP address, without blanks")
        return host

    @field_validator("regions", "allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) and value else value or ()

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(ORIGIN.fullmatch, origins)):
            raise ValueError("must be a list of origins, for example https://console.example.com")
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses_or_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        try:
            networks = [ip_network(proxy) for proxy in proxies]
        except ValueError:
            raise ValueError("must be a list of IP addresses and networks, for example 10.0.0.7, 10.1.0.0/16") from None
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("must name the proxies: a network of all addresses would believe every client")
        return proxies

    @field_validator("regions")
    @classmethod
    def _valid_and_distinct(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(REGION.fullmatch, regions)) or not regions:
            raise ValueError("must list regions of 1 to 40 letters, digits, hyphens, dots and underscores")
        if len(set(regions)) < len(regions):
            raise ValueError("must list each region once")
        return regions

    @field_validator(
        "lease",
        "lease_renewal",
        "sweep_interval",
        "undo_alarm",
        "drain_timeout",
        "pace",
        "statement_timeout",
        "lock_timeout",
        mode="before",
    )
    @classmethod
    def _length_of_time(cls, value: object) -> object:
        """Read a plain number as seconds. PT15S and 00:00:15 are accepted too."""
        return float(value) if isinstance(value, str) and PLAIN_NUMBER.fullmatch(value) else value

    @field_validator(
        "lease", "lease_renewal", "sweep_interval", "undo_alarm", "drain_timeout", "statement_timeout", "lock_timeout"
    )
    @classmethod
    def _at_most_an_hour(cls, length: timedelta) -> timedelta:
        if length > LONGEST_WAIT:
            raise ValueError("must be at most an hour")
        return length

    @field_validator("sweep_interval", "undo_alarm", "statement_timeout", "lock_timeout")
    @classmethod
    def _above_zero(cls, length: timedelta) -> timedelta:
        if length <= timedelta(0):
            raise ValueError("must be above zero")
        return length

    @field_validator("drain_timeout")
    @classmethod
    def _not_below_zero(cls, length: timedelta) -> timedelta:
        if length < timedelta(0):
            raise ValueError("must not be below zero")
        return length

    @field_validator("pace")
    @classmethod
    def _within_the_timeout_of_a_step(cls, length: timedelta) -> timedelta:
        if not timedelta(0) <= length <= LONGEST_PACE:
            raise ValueError(f"must be between 0 and {LONGEST_PACE.seconds} s")
        return length

    @field_validator("tenant_scheme")
    @classmethod
    def _scheme(cls, scheme: str) -> str:
        if scheme not in {"http", "https"}:
            raise ValueError("must be http or https")
        return scheme

    @field_validator("tenant_domain")
    @classmethod
    def _domain(cls, domain: str) -> str:
        if not DOMAIN.fullmatch(domain.lower()) or max(map(len, domain.split("."))) > 63:
            raise ValueError("must be a domain name, for example tenants.example.com")
        if len(domain) > LONGEST_DOMAIN:
            raise ValueError(f"must have at most {LONGEST_DOMAIN} characters, because a tenant's label precedes it")
        return domain.lower()

    @field_validator("console_url", "deployer_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if url and not _is_web_address(url):
            raise ValueError("must be an http or https address")
        return url

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, url: str) -> str:
        parts = _split(url)
        if url and (not is_secure_url(url) or parts.query or parts.fragment or len(url) > LONGEST_ISSUER):
            raise ValueError(
                "must be an https address without a query or fragment; only on this machine may it be http"
            )
        return url

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, sender: str) -> str:
        if "@" not in parseaddr(sender)[1]:
            raise ValueError("must be a mail address, with or without a display name")
        return sender

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return level.lower()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.deployer is DeployerKind.HTTP and not self.deployer_url:
            raise ValueError("TENANTRY_DEPLOYER_URL must be an http or https address when TENANTRY_DEPLOYER is http")
        if not timedelta(0) < self.lease_renewal * 2 <= self.lease:
            raise ValueError("TENANTRY_LEASE must be at least twice TENANTRY_LEASE_RENEWAL, and both above zero")
        if self.trusted_only and not self.trusted_documents:
            raise ValueError(
                "TENANTRY_TRUSTED_ONLY requires TENANTRY_TRUSTED_DOCUMENTS: without it every document would be refused"
            )
        return self

    @model_validator(mode="after")
    def _consistent_sign_in(self) -> Self:
        if bool(self.oidc_issuer) != bool(self.oidc_audience):
            raise ValueError(
                "TENANTRY_OIDC_ISSUER and TENANTRY_OIDC_AUDIENCE must be set together: set both, or neither"
            )
        if self.oidc_client_id and not self.oidc_issuer:
            raise ValueError(
                "TENANTRY_OIDC_CLIENT_ID requires TENANTRY_OIDC_ISSUER: the id is registered at that provider"
            )
        if self.seeded_tokens and self.oidc_issuer:
            raise ValueError(
                "TENANTRY_SEEDED_TOKENS is for development without sign-in: unset it, or TENANTRY_OIDC_ISSUER"
            )
        return self

    @model_validator(mode="after")
    def _secrets_stay_secret(self) -> Self:
        if not self.allow_unencrypted_secrets:
            for sentence in self._unencrypted():
                raise PydanticCustomError(
                    UNSAFE, "{sentence}", {"sentence": f"{sentence}. Where the network is trusted, set {ALLOW}=true."}
                )
        return self

    @property
    def warnings(self) -> list[str]:
        """What is unsafe in these settings and allowed nevertheless: one sentence each, for the log of each start."""
        redis = urlsplit(self.redis_url)
        in_clear = redis.scheme == "redis" and "".join(_passwords(self.redis_url)) and not _is_loopback(redis.hostname)
        broker = ["The password in TENANTRY_REDIS_URL is sent unencrypted: use rediss:// if the broker has TLS"]
        return [f"{sentence}." for sentence in [*self._unencrypted(), *(broker if in_clear else [])]]

    def _unencrypted(self) -> Iterator[str]:
        """Which secrets would cross a network as they are."""
        relay = self.smtp_host and self.smtp_username and self.smtp_password.get_secret_value()
        if relay and not self.smtp_starttls and not _is_loopback(self.smtp_host):
            yield (
                f"TENANTRY_SMTP_PASSWORD would be sent unencrypted to {self.smtp_host}: set TENANTRY_SMTP_STARTTLS=true"
            )
        secret = self.deployer_token.get_secret_value() or "".join(_passwords(self.deployer_url))
        if self.deployer is DeployerKind.HTTP and secret and not is_secure_url(self.deployer_url):
            yield (
                f"TENANTRY_DEPLOYER_TOKEN would be sent unencrypted to {urlsplit(self.deployer_url).hostname}: "
                "use an https address in TENANTRY_DEPLOYER_URL"
            )

    @property
    def tenants_database(self) -> str:
        """Address of the Postgres that holds the tenants' schemas."""
        return self.tenants_database_url or self.database_url

    @property
    def accepts_signed_tokens(self) -> bool:
        """Whether members and service accounts may authenticate with a token of ``python -m server token``."""
        return not self.oidc_issuer if self.signed_tokens is None else self.signed_tokens

    @property
    def default_region(self) -> str:
        """The region of a tenant that was created without one."""
        return self.regions[0]

    def hostname(self, address: str) -> str:
        """The full host name for a tenant's address label (``<tenant>-<organisation>``)."""
        return f"{address}.{self.tenant_domain}"

    def tenant_url(self, address: str) -> str:
        """The address that a tenant serves once it is ACTIVE."""
        port = f":{self.tenant_port}" if self.tenant_port else ""
        return f"{self.tenant_scheme}://{self.hostname(address)}{port}"


def read_settings(options: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """Read the environment again; ``options`` from a command line take precedence.

    Raises SettingsRefused with one sentence that names the variable and says what to do.
    """
    # Before anything is read: a refusal, a log line or an error that follows must not show them.
    remember_secrets(_secrets_in(os.environ))
    _refuse_unknown(os.environ)
    try:
        return Settings(**options)
    except ValidationError as refusal:
        raise SettingsRefused(without_secrets(_sentence(refusal))) from None


def _sentence(refusal: ValidationError) -> str:
    first = refusal.errors()[0]
    if not first["loc"]:
        unsafe = first["type"] == UNSAFE
        return first["msg"] if unsafe else f"The settings contradict each other: {_reason(first['msg'])}."
    name = str(first["loc"][0])
    if first["type"] == "missing":
        return f"{_variable(name)} is not set: {_why_missing(name)}{_description(name)}"
    return f"Invalid value for {_variable(name)}: {_reason(first['msg'])}."


def _why_missing(name: str) -> str:
    if any(variable.upper() == _variable(name) for variable in os.environ):
        return "the variable is empty. "
    similar = get_close_matches(_variable(name), [one for one in os.environ if one.upper() not in VARIABLES], 1, 0.9)
    return f"is {similar[0]} a misspelling of it? " if similar else ""


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raise SettingsRefused for a variable with our prefix that names no setting: a misspelling has no effect."""
    for variable, value in sorted(environment.items()):
        name = variable.upper().removeprefix(PREFIX)
        if name == variable.upper() or variable.upper() in VARIABLES:
            continue
        if FOR_TESTS.fullmatch(name) or FROM_KUBERNETES.fullmatch(f"{name}={value}"):
            continue
        known = get_close_matches(name, [one.removeprefix(PREFIX) for one in VARIABLES], 1)
        suggestion = f": did you mean {PREFIX}{known[0]}?" if known else "."
        raise SettingsRefused(
            f"There is no setting {variable}{suggestion} Correct or unset it; docs/operating.md lists the settings."
        )


def _secrets_in(environment: Mapping[str, str]) -> Iterator[str]:
    """Every value that must not be shown, as it is written: also of settings that will be refused."""
    for variable, value in environment.items():
        field = Settings.model_fields.get(variable.upper().removeprefix(PREFIX).lower())
        if variable.upper().startswith(PREFIX) and field is not None:
            yield from [value] if field.annotation is SecretStr else _passwords(value)


def _passwords(url: str) -> Iterator[str]:
    """The passwords in an address, or in what was meant to be one."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return
    if "@" in parts.netloc:
        yield parts.netloc.rpartition("@")[0].partition(":")[2]
    yield from parse_qs(parts.query).get("password", [])


def read_worker_settings(options: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """Read the environment for a worker process: each of its threads needs a connection. Raises SettingsRefused."""
    chosen = read_settings(options)
    needed = chosen.forward_threads + chosen.compensation_threads + OTHER_CONNECTIONS
    if chosen.database_pool < needed:
        raise SettingsRefused(
            f"Invalid value for TENANTRY_DATABASE_POOL: the threads of this worker need at least {needed} connections."
        )
    return chosen


@cache
def settings() -> Settings:
    """The settings of this process. Raises SettingsRefused."""
    return read_settings()


VARIABLES = frozenset(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
ALLOW = f"{PREFIX}ALLOW_UNENCRYPTED_SECRETS"
UNSAFE = "unsafe_setting"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


@cache
def _guesses(secret: str) -> float:
    """How many bits a guesser needs who knows words, names, dates, keyboards, sequences and repetitions."""
    # Imported here, because its dictionaries take a moment and are needed for a new key only.
    from zxcvbn import zxcvbn  # noqa: PLC0415  # see above

    judged = zxcvbn(secret[:72])
    return float(judged["guesses_log10"]) * BITS_OF_A_DIGIT


def _description(name: str) -> str:
    return Settings.model_fields[name].description or ""


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").removesuffix(".")


def _is_port(written: str) -> bool:
    return written.isascii() and written.isdigit() and 1 <= int(written[:6]) <= 65535


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def is_secure_url(url: str) -> bool:
    """Whether the address is https, or http on this machine: then no other host can answer in its place."""
    return _is_web_address(url) and (urlsplit(url).scheme == "https" or _is_loopback(urlsplit(url).hostname))


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not close
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and _has_valid_port(parts)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # The message of the library quotes the address, which may contain a password.
        raise ValueError("must be an address") from None
