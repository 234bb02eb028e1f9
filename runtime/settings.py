"""Every setting of the product, read once from the environment, refused in one sentence when it makes no sense."""

import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parseaddr
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LONGEST_DOMAIN = 253 - 63 - 1
"""What a host name may have, without a tenant's label and its dot (RFC 1035, sections 2.3.4 and 3.1)."""

REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")
HOST = re.compile(r"[\w.:-]*")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST_ISSUER = 255
FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
DATABASE_NUMBER = re.compile(r"/?\d{0,4}/?")

LONGEST_WAIT = timedelta(hours=1)
"""Of any setting: a lease of days would keep a dead worker's runs from everybody for days."""

OTHER_CONNECTIONS = 4
"""Of a worker process, besides one for each thread: heartbeat, ear for cancels, sweeper, and one to spare."""

LONGEST_PACE = timedelta(seconds=20)
"""The shortest step may take 30 seconds."""

PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class SettingsRefused(Exception):
    """The environment asks for something that makes no sense. The message is one sentence for an operator."""


class WorldKind(StrEnum):
    """Which outside world the steps act on."""

    REAL = "real"
    SIMULATED = "simulated"


class DeployerKind(StrEnum):
    """Who runs a tenant's workload."""

    EDGE = "edge"
    HTTP = "http"


class Settings(BaseSettings):
    """One frozen value. The variable of a field is its name in capitals behind ``TENANTRY_``."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", frozen=True, extra="ignore")

    database_url: str = Field(description="The product's own Postgres, for example postgresql://app@db/tenantry.")
    api_database_url: str = Field(
        default="", description="The same Postgres, by a login of its own for callers of the API."
    )
    tenants_database_url: str = Field(
        default="", description="The Postgres that holds the tenants' schemas; database_url when empty."
    )
    redis_url: str = Field(description="The broker: any Redis protocol server, for example redis://127.0.0.1:6379/0.")
    secret_key: SecretStr = Field(
        description="At least 32 characters. Signs tokens and seals private keys; changing it invalidates both."
    )

    world: WorldKind = Field(default=WorldKind.REAL, description="real, or simulated for an outside kept in memory.")
    deployer: DeployerKind | str = Field(
        default=DeployerKind.EDGE,
        union_mode="left_to_right",
        description="edge (built in), http (your deployer), or your adapter as package.module:factory.",
    )
    deployer_url: str = Field(default="", description="Base address of your deployer; needed when deployer is http.")
    deployer_token: SecretStr = Field(default=SecretStr(""), description="Bearer token sent to your deployer.")

    tenant_domain: str = Field(default="localhost", description="Domain under which tenants get their host names.")
    tenant_scheme: str = Field(default="http", description="http or https, in tenants' addresses.")
    tenant_port: int | None = Field(default=None, ge=1, le=65535, description="Port in tenants' addresses, if any.")
    regions: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("eu-central", "us-east"), description="Comma separated; the first is the default."
    )
    console_url: str = Field(default="http://localhost:8000", description="Where people manage tenants; in mails.")

    smtp_host: str = Field(default="", description="Mail relay; no mail is sent when empty.")
    smtp_port: int = Field(default=25, ge=1, le=65535, description="Port of the mail relay.")
    smtp_username: str = Field(default="", description="User at the mail relay, if it wants one.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password at the mail relay.")
    smtp_starttls: bool = Field(default=False, description="Whether to insist on STARTTLS.")
    mail_from: str = Field(default="Tenantry <no-reply@tenantry.example>", description="Sender of every mail.")

    lease: timedelta = Field(default=timedelta(seconds=15), description="How long a worker owns a move unrenewed.")
    lease_renewal: timedelta = Field(default=timedelta(seconds=5), description="How often a live worker renews.")
    sweep_interval: timedelta = Field(default=timedelta(seconds=1), description="How often due runs are looked for.")
    forward_threads: int = Field(default=6, ge=1, le=256, description="Threads of a worker process for steps.")
    compensation_threads: int = Field(default=4, ge=1, le=256, description="Threads reserved for compensations.")
    adapter_calls: int = Field(
        default=8, ge=2, le=256, description="Calls of one adapter that a worker process makes at once."
    )
    drain_timeout: timedelta = Field(default=timedelta(seconds=20), description="How long a stop waits for steps.")
    pace: timedelta = Field(default=timedelta(0), description="Slows every forward step, so that a person can watch.")

    oidc_issuer: str = Field(
        default="", description="Issuer of the OpenID Connect provider with which people sign in; none when empty."
    )
    oidc_audience: str = Field(default="", description="Whom its tokens must be meant for; needed with an issuer.")
    oidc_client_id: str = Field(
        default="",
        description="Client id with which the dashboard signs people in at the provider; "
        "people paste tokens when empty.",
    )
    oidc_scope: str = Field(default="openid email", description="Scope that the dashboard asks the provider for.")
    signed_tokens: bool | None = Field(
        default=None,
        description="Whether tokens of python -m server token are taken; when empty, only without an issuer.",
    )
    seeded_tokens: str = Field(
        default="",
        description="A file of tokens that the dashboard's sign-in offers to anybody on this machine; "
        "for development, python -m devserver sets it.",
    )

    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins of other sites whose pages may call the API, comma separated."
    )
    trusted_documents: str = Field(default="", description="A file of documents by their SHA-256, as JSON.")
    trusted_only: bool = Field(
        default=False, description="Whether callers without the right schema:read may send no other documents."
    )
    sockets_per_address: int = Field(default=100, ge=1, description="Websockets that one address may have open.")
    budget: int = Field(default=5000, ge=100, description="Points that a caller of the API may spend at once.")
    budget_refill: int = Field(default=500, ge=1, description="Points that flow back to a caller each second.")

    database_pool: int = Field(default=20, ge=2, le=500, description="Connections a process may hold.")
    statement_timeout: timedelta = Field(default=timedelta(seconds=10), description="Limit of one statement.")
    lock_timeout: timedelta = Field(default=timedelta(seconds=5), description="Limit of one wait for a lock.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")

    @field_validator("database_url", "api_database_url", "tenants_database_url")
    @classmethod
    def _postgres(cls, url: str) -> str:
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        try:
            parts = conninfo_to_dict(url)
        except ProgrammingError:
            # What libpq says quotes the address, and that may hold a password.
            raise ValueError("must be an address that libpq reads, as postgresql://app@db/tenantry is") from None
        if not all(_is_port(port) for port in str(parts.get("port", "")).split(",") if port):
            raise ValueError("must name a port from 1 to 65535, if any")
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if parts.scheme == "unix":
            return url
        if not _has_sound_port(parts):
            raise ValueError("must name a port from 1 to 65535, if any")
        if not DATABASE_NUMBER.fullmatch(parts.path):
            raise ValueError(
                "must end with the number of a database, if with anything, as redis://127.0.0.1:6379/0 does"
            )
        return url

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value().strip()) < 32:
            raise ValueError("must have at least 32 characters, not counting blanks at its ends")
        return key

    @field_validator("deployer")
    @classmethod
    def _kind_or_factory(cls, deployer: DeployerKind | str) -> DeployerKind | str:
        if not isinstance(deployer, DeployerKind) and not FACTORY.fullmatch(deployer):
            raise ValueError("must be edge, http, or a factory named as package.module:factory")
        return deployer

    @field_validator("smtp_host")
    @classmethod
    def _host(cls, host: str) -> str:
        if not HOST.fullmatch(host):
            raise ValueError("must be the name or the number of a host, without blanks")
        return host

    @field_validator("regions", "allowed_origins", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) and value else value or ()

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(ORIGIN.fullmatch, origins)):
            raise ValueError("must name origins as browsers do, for example https://console.example.com")
        return origins

    @field_validator("regions")
    @classmethod
    def _told_apart(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(REGION.fullmatch, regions)) or not regions:
            raise ValueError("must name regions of 1 to 40 letters, digits, hyphens, dots and underscores")
        if len(set(regions)) < len(regions):
            raise ValueError("must name each region once")
        return regions

    @field_validator(
        "lease",
        "lease_renewal",
        "sweep_interval",
        "drain_timeout",
        "pace",
        "statement_timeout",
        "lock_timeout",
        mode="before",
    )
    @classmethod
    def _length_of_time(cls, value: object) -> object:
        """A plain number means seconds; PT15S and 00:00:15 are read too."""
        return float(value) if isinstance(value, str) and PLAIN_NUMBER.fullmatch(value) else value

    @field_validator("lease", "lease_renewal", "sweep_interval", "drain_timeout", "statement_timeout", "lock_timeout")
    @classmethod
    def _not_for_ever(cls, length: timedelta) -> timedelta:
        if length > LONGEST_WAIT:
            raise ValueError("must be an hour at the most")
        return length

    @field_validator("tenant_domain")
    @classmethod
    def _domain(cls, domain: str) -> str:
        if not DOMAIN.fullmatch(domain.lower()) or max(map(len, domain.split("."))) > 63:
            raise ValueError("must be a domain name, for example tenants.example.com")
        if len(domain) > LONGEST_DOMAIN:
            raise ValueError(f"must have {LONGEST_DOMAIN} characters at the most, because tenants' names go before it")
        return domain.lower()

    @field_validator("console_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not _is_web_address(url):
            raise ValueError("must be an http(s) address")
        return url

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (not is_secure_url(url) or parts.query or parts.fragment or len(url) > LONGEST_ISSUER):
            raise ValueError("must be an https address without a query; http will do on this machine alone")
        return url

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, sender: str) -> str:
        if "@" not in parseaddr(sender)[1]:
            raise ValueError("must be a mail address, with or without a name before it")
        return sender

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return level.lower()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.tenant_scheme not in {"http", "https"}:
            raise ValueError("tenant_scheme must be http or https")
        if self.deployer is DeployerKind.HTTP and not _is_web_address(self.deployer_url):
            raise ValueError("deployer_url must be an http(s) address when deployer is http")
        if not timedelta(0) < self.lease_renewal * 2 <= self.lease:
            raise ValueError("lease must be at least twice lease_renewal, and both above zero")
        if min(self.sweep_interval, self.statement_timeout, self.lock_timeout) <= timedelta(0):
            raise ValueError("sweep_interval, statement_timeout and lock_timeout must be above zero")
        if self.trusted_only and not self.trusted_documents:
            raise ValueError("trusted_only needs trusted_documents, or nothing could be asked")
        if self.drain_timeout < timedelta(0) or not timedelta(0) <= self.pace <= LONGEST_PACE:
            raise ValueError(
                f"drain_timeout must not be below zero, and pace lie between 0 and {LONGEST_PACE.seconds} s"
            )
        return self

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if bool(self.oidc_issuer) != bool(self.oidc_audience):
            raise ValueError("oidc_issuer and oidc_audience belong together: set both, or neither")
        if self.oidc_client_id and not self.oidc_issuer:
            raise ValueError("oidc_client_id needs oidc_issuer: it is the dashboard's name there")
        if self.seeded_tokens and self.oidc_issuer:
            raise ValueError("seeded_tokens is for development, where nobody signs in: not with an oidc_issuer")
        return self

    @property
    def tenants_database(self) -> str:
        """The Postgres that holds the tenants' schemas."""
        return self.tenants_database_url or self.database_url

    @property
    def accepts_signed_tokens(self) -> bool:
        """Whether a person or a service account may show a token that ``python -m server token`` signed."""
        return not self.oidc_issuer if self.signed_tokens is None else self.signed_tokens

    @property
    def default_region(self) -> str:
        """Where a tenant runs when nobody said."""
        return self.regions[0]

    def hostname(self, address: str) -> str:
        """The full host name for a tenant's address label (``<tenant>-<organisation>``)."""
        return f"{address}.{self.tenant_domain}"

    def tenant_url(self, address: str) -> str:
        """Where a tenant answers once it is ACTIVE."""
        port = f":{self.tenant_port}" if self.tenant_port else ""
        return f"{self.tenant_scheme}://{self.hostname(address)}{port}"


def read_settings(options: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """Read the environment afresh; ``options`` from a command line go first.

    Raises SettingsRefused with one sentence naming the variable and the way out.
    """
    try:
        return Settings(**options)
    except ValidationError as refusal:
        first = refusal.errors()[0]
        if not first["loc"]:
            raise SettingsRefused(f"The settings contradict each other: {_reason(first['msg'])}.") from None
        variable = f"TENANTRY_{str(first['loc'][0]).upper()}"
        if first["type"] == "missing":
            raise SettingsRefused(f"{variable} is not set: {_description(str(first['loc'][0]))}") from None
        raise SettingsRefused(f"{variable} makes no sense: {_reason(first['msg'])}.") from None


def read_worker_settings(options: Mapping[str, Any] = MappingProxyType({})) -> Settings:
    """Read the environment for a worker process, whose threads all need a connection. Raises SettingsRefused."""
    chosen = read_settings(options)
    needed = chosen.forward_threads + chosen.compensation_threads + OTHER_CONNECTIONS
    if chosen.database_pool < needed:
        raise SettingsRefused(
            f"TENANTRY_DATABASE_POOL makes no sense: these threads of a worker need at least {needed} connections."
        )
    return chosen


@cache
def settings() -> Settings:
    """The settings of this process. Raises SettingsRefused."""
    return read_settings()


def _description(name: str) -> str:
    return Settings.model_fields[name].description or ""


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").removesuffix(".")


def _is_port(written: str) -> bool:
    return written.isascii() and written.isdigit() and 1 <= int(written[:6]) <= 65535


def _has_sound_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def is_secure_url(url: str) -> bool:
    """Whether nobody on the way can answer in the place of whom the address names."""
    parts = urlsplit(url)
    return _is_web_address(url) and (parts.scheme == "https" or parts.hostname in LOOPBACK)


def _is_web_address(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and _has_sound_port(parts)
