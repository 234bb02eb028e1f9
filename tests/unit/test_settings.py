"""An invalid setting is refused in one sentence that names its variable."""

import re
from datetime import timedelta

import pytest

from runtime.settings import Settings, SettingsRefused, read_settings, read_worker_settings

ENOUGH = {
    "TENANTRY_DATABASE_URL": "postgresql://app@db/tenantry",
    "TENANTRY_REDIS_URL": "redis://127.0.0.1:6379/0",
    "TENANTRY_SECRET_KEY": "c94e7a0d52b1f86390ad4be7f1582c6d",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"TENANTRY_{field.upper()}", raising=False)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_trusted_only_requires_trusted_documents(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_TRUSTED_ONLY", "true")

    with pytest.raises(SettingsRefused, match="TENANTRY_TRUSTED_ONLY requires TENANTRY_TRUSTED_DOCUMENTS"):
        read_settings()


def test_three_settings_are_enough() -> None:
    settings = read_settings()

    assert settings.tenants_database == ENOUGH["TENANTRY_DATABASE_URL"]
    assert settings.default_region == "eu-central"
    assert settings.tenant_url("shop-acme") == "http://shop-acme.localhost"


@pytest.mark.parametrize("name", ENOUGH)
def test_a_missing_setting_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)

    with pytest.raises(SettingsRefused, match=f"^{name} is not set: "):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEPLOYER_TOKEN", "\udcff and more"),
        ("SMTP_PASSWORD", "\udcff"),
        ("CONSOLE_URL", "http://console.example/\udcfc"),
        ("DATABASE_URL", "postgresql://app:\udcff@db/tenantry"),
        ("DATABASE_URL", "mysql://db/tenantry"),
        ("DATABASE_URL", "db:5432"),
        ("DATABASE_URL", "postgresql://"),
        ("DATABASE_URL", "postgresql:///"),
        ("TENANTS_DATABASE_URL", "postgresql://app@"),
        ("TENANTS_DATABASE_URL", "sqlite:///x"),
        ("DATABASE_URL", "postgresql://app@db:99999999/tenantry"),
        ("DATABASE_URL", "postgresql://app@db:notaport/tenantry"),
        ("DATABASE_URL", "postgresql://app@one:1,two:0/tenantry"),
        ("DATABASE_URL", "postgresql://app@[::1/tenantry"),
        ("DATABASE_URL", "postgresql://app@db/tenantry?no_such_option=1"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis:///0"),
        ("REDIS_URL", "unix://"),
        ("REDIS_URL", "redis://:secret@[::1/0"),
        ("REDIS_URL", "redis://h:notaport/0"),
        ("REDIS_URL", "redis://h:70000/0"),
        ("REDIS_URL", "redis://h:6379/first"),
        ("SECRET_KEY", "too short"),
        ("SECRET_KEY", "a" * 32),
        ("SECRET_KEY", "password" * 8),
        ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz"),
        ("SECRET_KEY", "qwertyuiopasdfghjklzxcvbnm1234567890"),
        ("DEPLOYER_TOKEN", "two\nlines"),
        ("DEPLOYER_TOKEN", "t\u00f6ken"),
        ("DEPLOYER_URL", "deployer:8080"),
        ("DEPLOYER_URL", "http://deployer:notaport"),
        ("DEPLOYER_URL", "http://[::1"),
        ("OIDC_ISSUER", "https://[::1"),
        ("MAIL_FROM", "Tenantry <no-reply@example.com>\nBcc: eve@example.com"),
        ("WORLD", "virtual"),
        ("DEPLOYER", "ssh"),
        ("DEPLOYER", "mine.deployer:"),
        ("DEPLOYER", "mine/deployer.py:make"),
        ("ADAPTER_CALLS", "1"),
        ("TENANT_PORT", "70000"),
        ("TENANT_PORT", "none"),
        ("SMTP_PORT", "0"),
        ("FORWARD_THREADS", "0"),
        ("COMPENSATION_THREADS", "0"),
        ("DATABASE_POOL", "1"),
        ("LEASE", "soon"),
        ("LEASE", "999999999999"),
        ("LEASE", "9" * 40),
        ("DRAIN_TIMEOUT", "P2D"),
        ("DRAIN_TIMEOUT", "-1"),
        ("SWEEP_INTERVAL", "0"),
        ("STATEMENT_TIMEOUT", "0"),
        ("LOCK_TIMEOUT", "-1"),
        ("PACE", "-1"),
        ("PACE", "21"),
        ("TENANT_SCHEME", "gopher"),
        ("REGIONS", ","),
        ("REGIONS", "eu,,us"),
        ("REGIONS", "eu,eu"),
        ("REGIONS", "e" * 41),
        ("REGIONS", "eu central"),
        ("TENANT_DOMAIN", "example..com"),
        ("TENANT_DOMAIN", "x" * 64 + ".com"),
        ("TENANT_DOMAIN", ".".join(["x" * 38] * 5)),
        ("SMTP_HOST", "a b"),
        ("CONSOLE_URL", "http://console:notaport"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_an_invalid_setting_is_named_in_one_sentence(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(f"TENANTRY_{name}", value)

    with pytest.raises(SettingsRefused) as refusal:
        read_settings()

    assert str(refusal.value).startswith(f"Invalid value for TENANTRY_{name}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "together",
    [
        {"LEASE": "5", "LEASE_RENEWAL": "3"},
        {"LEASE": "0", "LEASE_RENEWAL": "0"},
        {"DEPLOYER": "http"},
        {"TRUSTED_ONLY": "true"},
        {"OIDC_ISSUER": "https://login.example.com"},
        {"OIDC_CLIENT_ID": "dashboard"},
        {"OIDC_ISSUER": "https://login.example.com", "OIDC_AUDIENCE": "api", "SEEDED_TOKENS": "tokens.json"},
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused_with_their_variables(
    environment: pytest.MonkeyPatch, together: dict[str, str]
) -> None:
    for name, value in together.items():
        environment.setenv(f"TENANTRY_{name}", value)

    with pytest.raises(SettingsRefused, match=r"^The settings contradict each other: ") as refusal:
        read_settings()

    named = re.findall(r"TENANTRY_(\w+)", str(refusal.value))
    assert len(set(named)) == 2
    assert set(named) & set(together)


@pytest.mark.parametrize("name", sorted({field.upper() for field in Settings.model_fields} - {"DEPLOYER_URL"}))
def test_an_empty_variable_counts_as_not_set(environment: pytest.MonkeyPatch, name: str) -> None:
    variable = f"TENANTRY_{name}"
    environment.setenv(variable, "")

    if variable in ENOUGH:
        with pytest.raises(SettingsRefused, match=f"^{variable} is not set: "):
            read_settings()
    else:
        assert getattr(read_settings(), name.lower()) == Settings.model_fields[name.lower()].default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql:///tenantry?host=/tmp"),
        ("DATABASE_URL", "postgresql://app:pa[ss@one:5432,two/tenantry"),
        ("REDIS_URL", "redis://127.0.0.1"),
        ("REDIS_URL", "rediss://user:secret@[::1]:6380/15"),
        ("REDIS_URL", "unix:///run/valkey.sock?db=3"),
        ("SECRET_KEY", "8119e59753e481a83a286d777ac270bf"),
        ("SECRET_KEY", "pZ2/u1mH0c8dX7aLr4nVYwq3KfT6sJbE\n9gQxR5vNhU"),
        ("SMTP_PASSWORD", "p\u00e4ss w\u00f6rd"),
        ("LEASE", "3600"),
        ("REGIONS", "e" * 40),
        ("TENANT_DOMAIN", "x." * 93 + "com"),
        ("SMTP_HOST", "::1"),
    ],
)
def test_a_setting_at_the_limit_of_its_range_is_valid(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(f"TENANTRY_{name}", value)

    read_settings()


def test_a_worker_needs_a_connection_for_each_thread_and_four_more(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_DATABASE_POOL", "14")
    enough = read_worker_settings({"forward_threads": 6, "compensation_threads": 4})

    with pytest.raises(SettingsRefused, match=r"^Invalid value for TENANTRY_DATABASE_POOL: .* at least 15 connections"):
        read_worker_settings({"forward_threads": 7, "compensation_threads": 4})

    assert enough.database_pool == 14


def test_the_refusal_of_an_address_does_not_repeat_its_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_DATABASE_URL", "postgresql://app:hunter2%zz@db/tenantry")

    with pytest.raises(SettingsRefused) as refusal:
        read_settings()

    assert "hunter2" not in str(refusal.value)


def test_a_refusal_does_not_repeat_a_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_SECRET_KEY", "hunter2")

    with pytest.raises(SettingsRefused) as refusal:
        read_settings()

    assert "hunter2" not in str(refusal.value)


def test_settings_do_not_print_their_secrets() -> None:
    assert ENOUGH["TENANTRY_SECRET_KEY"] not in repr(read_settings())


def test_an_option_takes_precedence_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_FORWARD_THREADS", "3")

    assert read_settings({"forward_threads": 5}).forward_threads == 5


def test_regions_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TENANTRY_REGIONS", "moon, mars")

    assert read_settings().regions == ("moon", "mars")


@pytest.mark.parametrize("written", ["2.5", "PT2.5S", "00:00:02.5"])
def test_a_length_of_time_is_seconds_unless_it_says_otherwise(environment: pytest.MonkeyPatch, written: str) -> None:
    environment.setenv("TENANTRY_PACE", written)

    assert read_settings().pace == timedelta(seconds=2.5)


def test_the_settings_cannot_be_changed() -> None:
    settings = read_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.lease = settings.pace  # type: ignore[misc]  # the assignment is what is refused
