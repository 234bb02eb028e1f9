"""The settings of the product: environment variables ``TENANTRY_…``, validated."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

from runtime import addresses
from runtime.email_addresses import InvalidAddress, mailbox
from runtime.masking import remember_secrets, without_secrets
from runtime.postgres_address import postgres_address
from runtime.programs import OperatorError
from runtime.secret_strength import secret_key
from runtime.setting_forms import expected, from_text
from runtime.variables import misspelling_of, unknown_variable, variable_of

BLANKS = re.compile(r"^[\s\u00ad\u200b-\u200d\u2060\ufeff]+|[\s\u00ad\u200b-\u200d\u2060\ufeff]+$")
"""What a file or an editor leaves at the ends of a value, visible or not: line feeds, blanks, byte order marks."""

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
"""How Python reads bytes of the environment that are not UTF-8."""

MAY_HAVE_LINES = frozenset({"secret_key", "smtp_password"})
"""Settings that are never part of a line of a protocol: openssl wraps long random keys."""

HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")

LONGEST_WAIT = timedelta(hours=1)
"""The maximum of any length of time: a lease of days would block the runs of a dead worker for days."""

OTHER_CONNECTIONS = 4
"""Connections of a worker process besides one per thread: heartbeat, cancel listener, sweeper, and one spare."""

LONGEST_PACE = timedelta(seconds=20)
"""Below the shortest timeout of a step, 30 seconds."""

LEAST_TIMEOUT = timedelta(milliseconds=1)
"""Postgres takes less for no timeout."""

MOST = 1_000_000_000
"""The maximum of numbers without another one: clients read the budget as an Int of GraphQL."""

Wait = Annotated[timedelta, Field(gt=timedelta(0), le=LONGEST_WAIT)]
Timeout = Annotated[timedelta, Field(ge=LEAST_TIMEOUT, le=LONGEST_WAIT)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _unless_empty(judge: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda address: address and judge(address))


PostgresAddress = Annotated[str, _unless_empty(postgres_address)]


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


class HintCarrier(StrEnum):
    """What carries the hints that make other processes look at once instead of at their next poll."""

    POSTGRES = "postgres"
    REDIS = "redis"


class Settings(BaseSettings):
    """The settings, immutable. The variable of a field is ``TENANTRY_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic passes them all
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,  # noqa: ARG003  # there is no file of settings
        file_secret_settings: Source,  # noqa: ARG003  # there is no folder of secrets
    ) -> tuple[Source, ...]:
        """The options of a command line come first, then the environment."""
        return init_settings, env_settings

    database_url: PostgresAddress = Field(
        description="The product's own Postgres, for example postgresql://app@db/tenantry."
    )
    api_database_url: PostgresAddress = Field(
        default="",
        description="The same database with a login for API callers' requests; database_url when empty.",
    )
    tenants_database_url: PostgresAddress = Field(
        default="", description="The Postgres for the tenants' schemas; database_url when empty."
    )
    development: bool = Field(
        default=False,
        description="For development only: the tenants' schemas may be in the product's own database.",
    )
    redis_url: Annotated[str, AfterValidator(addresses.broker_address)] = Field(
        description="The broker: any Redis protocol server, for example redis://127.0.0.1:6379/0."
    )
    hints: HintCarrier = Field(
        default=HintCarrier.POSTGRES,
        description="What carries hints to other processes: postgres (NOTIFY) or redis (the broker's channels).",
    )
    secret_key: SecretStr = Field(
        description="At least 32 characters. Signs tokens and encrypts private keys; changing it invalidates both."
    )

    world: WorldKind = Field(default=WorldKind.REAL, description="real, or simulated to keep all resources in memory.")
    deployer: DeployerKind | str = Field(
        default=DeployerKind.EDGE,
        union_mode="left_to_right",
        description="edge (built in), http (your deployer), or your adapter as package.module:factory.",
    )
    deployer_url: Annotated[str, _unless_empty(addresses.base_address)] = Field(
        default="", description="Base address of your deployer; required when deployer is http."
    )
    deployer_token: SecretStr = Field(default=SecretStr(""), description="Bearer token sent to your deployer.")

    tenant_domain: Annotated[str, AfterValidator(addresses.domain)] = Field(
        default="localhost", description="Domain under which tenants get their host names."
    )
    tenant_scheme: str = Field(default="http", description="http or https, in tenants' addresses.")
    tenant_port: Port | None = Field(default=None, description="Port in tenants' addresses, if any.")
    regions: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("eu-central", "us-east"), description="Comma separated; the first is the default."
    )
    console_url: Annotated[str, AfterValidator(addresses.page_address)] = Field(
        default="http://localhost:8000", description="Address of the console, for links in mails."
    )

    smtp_host: Annotated[str, _unless_empty(addresses.host)] = Field(
        default="", description="Mail relay; no mail is sent when empty."
    )
    smtp_port: Port = Field(default=25, description="Port of the mail relay.")
    smtp_username: str = Field(default="", description="User name at the mail relay; no login when empty.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password at the mail relay.")
    smtp_starttls: bool = Field(default=False, description="Whether to require STARTTLS.")
    allow_unencrypted_secrets: bool = Field(
        default=False,
        description="Whether the relay's password and the deployer's token may be sent unencrypted to another host.",
    )
    mail_from: str = Field(default="Tenantry <no-reply@tenantry.example>", description="Sender of every mail.")

    lease: timedelta = Field(
        default=timedelta(seconds=15), le=LONGEST_WAIT, description="How long a lease lasts without renewal."
    )
    lease_renewal: timedelta = Field(
        default=timedelta(seconds=5), le=LONGEST_WAIT, description="How often a worker renews its leases."
    )
    sweep_interval: Wait = Field(default=timedelta(seconds=1), description="Longest pause between two sweeps.")
    forward_threads: int = Field(default=10, ge=1, le=256, description="Threads of a worker process for steps.")
    compensation_threads: int = Field(default=6, ge=1, le=256, description="Threads reserved for compensations.")
    worker_niceness: int = Field(
        default=5, ge=0, le=19, description="How far a worker process gives way to others of its machine."
    )
    adapter_calls: int = Field(
        default=8, ge=2, le=256, description="Concurrent calls of one adapter in one worker process."
    )
    undo_alarm: Wait = Field(
        default=timedelta(minutes=2), description="How long the undo of a step may take before operators are warned."
    )
    drain_timeout: timedelta = Field(
        default=timedelta(seconds=20), ge=timedelta(0), le=LONGEST_WAIT, description="How long a stopping worker waits."
    )
    pace: timedelta = Field(
        default=timedelta(0),
        ge=timedelta(0),
        le=LONGEST_PACE,
        description="Added to each forward step, for demonstrations.",
    )

    oidc_issuer: Annotated[str, _unless_empty(addresses.issuer)] = Field(
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

    allowed_origins: Annotated[tuple[str, ...], NoDecode, AfterValidator(addresses.origins)] = Field(
        default=(), description="Other origins from which pages may call the API, comma separated."
    )
    trusted_documents: str = Field(default="", description="A JSON file of GraphQL documents by their SHA-256.")
    trusted_only: bool = Field(
        default=False, description="Whether callers without the right schema:read may send trusted documents only."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, AfterValidator(addresses.proxies)] = Field(
        default=(),
        description="Addresses and networks of trusted proxies, comma separated; only they may send X-Forwarded-For.",
    )
    sockets_per_address: int = Field(
        default=100, ge=1, le=MOST, description="Websockets without a token yet that one client address may have open."
    )
    sockets_per_caller: int = Field(default=100, ge=1, le=MOST, description="Websockets that one caller may have open.")
    sockets_per_organisation: int = Field(
        default=1000, ge=1, le=MOST, description="Websockets that all callers of one organisation may have open."
    )
    operations_per_caller: int = Field(
        default=200, ge=1, le=MOST, description="Operations that one caller may have running on websockets and streams."
    )
    operations_per_organisation: int = Field(
        default=1000, ge=1, le=MOST, description="The same of all callers of one organisation."
    )
    max_connections: int = Field(
        default=10_000,
        ge=16,
        le=MOST,
        description="Connections that a process may have open; fewer if its file limit is low.",
    )
    budget: int = Field(
        default=20_000, ge=100, le=MOST, description="Rate limit: points that a caller may spend at once."
    )
    budget_refill: int = Field(
        default=5000, ge=1, le=MOST, description="Rate limit: points that a caller regains each second."
    )
    organisation_budget: int = Field(
        default=40_000, ge=100, le=MOST, description="Points that all callers of one organisation may spend at once."
    )
    organisation_budget_refill: int = Field(
        default=10_000, ge=1, le=MOST, description="Points that all callers of one organisation regain each second."
    )
    operation_cost: int = Field(
        default=5000, ge=100, le=MOST, description="Rate limit: points that one operation may cost at most."
    )

    database_pool: int = Field(default=20, ge=2, le=500, description="Connections a process may hold.")
    statement_timeout: Timeout = Field(default=timedelta(seconds=10), description="Timeout of one SQL statement.")
    lock_timeout: Timeout = Field(default=timedelta(seconds=5), description="Timeout of one wait for a lock.")
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

    @field_validator("*", mode="before")
    @classmethod
    def _in_our_form(cls, value: object, field: ValidationInfo) -> object:
        return from_text(value, cls.model_fields[str(field.field_name)]) if isinstance(value, str) else value

    @field_validator("secret_key")
    @classmethod
    def _strong(cls, key: SecretStr) -> SecretStr:
        return SecretStr(secret_key(key.get_secret_value()))

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

    @field_validator("regions", "allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) and value else value or ()

    @field_validator("regions")
    @classmethod
    def _valid_and_distinct(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(REGION.fullmatch, regions)) or not regions:
            raise ValueError("must list regions of 1 to 40 letters, digits, hyphens, dots and underscores")
        if len(set(regions)) < len(regions):
            raise ValueError("must list each region once")
        return regions

    @field_validator("tenant_scheme")
    @classmethod
    def _scheme(cls, scheme: str) -> str:
        if scheme not in {"http", "https"}:
            raise ValueError("must be http or https")
        return scheme

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, sender: str) -> str:
        try:
            mailbox(sender)
        except InvalidAddress as error:
            raise ValueError(
                f"must be an e-mail address, for example Tenantry <no-reply@acme.example>. {error}"
            ) from None
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
        in_clear = (
            redis.scheme == "redis"
            and "".join(_passwords(self.redis_url))
            and not addresses.is_loopback(redis.hostname)
        )
        broker = ["The password in TENANTRY_REDIS_URL is sent unencrypted: use rediss:// if the broker has TLS"]
        return [f"{sentence}." for sentence in [*self._unencrypted(), *(broker if in_clear else [])]]

    def _unencrypted(self) -> Iterator[str]:
        """Which secrets would cross a network as they are."""
        relay = self.smtp_host and self.smtp_username and self.smtp_password.get_secret_value()
        if relay and not self.smtp_starttls and not addresses.is_loopback(self.smtp_host):
            yield (
                f"TENANTRY_SMTP_PASSWORD would be sent unencrypted to {self.smtp_host}: set TENANTRY_SMTP_STARTTLS=true"
            )
        secret = self.deployer_token.get_secret_value() or "".join(_passwords(self.deployer_url))
        if self.deployer is DeployerKind.HTTP and secret and not addresses.is_secure_url(self.deployer_url):
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
    unknown = unknown_variable(os.environ, VARIABLES)
    if unknown:
        raise SettingsRefused(unknown)
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
        return f"{variable_of(name)} is not set: {_why_missing(name)}{_description(name)}"
    ours = first["type"] == "value_error"
    reason = _reason(first["msg"]) if ours else expected(Settings.model_fields[name])
    return f"Invalid value for {variable_of(name)}: {reason}."


def _why_missing(name: str) -> str:
    if variable_of(name) in os.environ:
        return "the variable is empty. "
    misspelling = misspelling_of(variable_of(name), os.environ, VARIABLES)
    return f"is {misspelling} a misspelling of it? " if misspelling else ""


def _secrets_in(environment: Mapping[str, str]) -> Iterator[str]:
    """Every value that must not be shown, as it is written: also of settings that will be refused."""
    for variable, value in environment.items():
        field = SETTINGS.get(variable.upper())
        if field is not None:
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


SETTINGS = {variable_of(name): field for name, field in Settings.model_fields.items()}
VARIABLES = frozenset(SETTINGS)
ALLOW = variable_of("allow_unencrypted_secrets")
UNSAFE = "unsafe_setting"


def _description(name: str) -> str:
    return Settings.model_fields[name].description or ""


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").removesuffix(".")
