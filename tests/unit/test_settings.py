"""Settings that make no sense are refused in one sentence that names the variable."""

from datetime import timedelta

import pytest

from runtime.settings import Settings, SettingsRefused, read_settings

ENOUGH = {
    "TENANTRY_DATABASE_URL": "postgresql://app@db/tenantry",
    "TENANTRY_REDIS_URL": "redis://127.0.0.1:6379/0",
    "TENANTRY_SECRET_KEY": "not so secret, but more than 32 characters",
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"TENANTRY_{field.upper()}", raising=False)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_three_settings_are_enough() -> None:
    settings = read_settings()

    assert settings.tenants_database == ENOUGH["TENANTRY_DATABASE_URL"]
    assert settings.default_region == "eu-central"
    assert settings.tenant_url("shop-acme") == "http://shop-acme.localhost"


@pytest.mark.parametrize("name", ENOUGH)
def test_a_setting_that_is_missing_is_named(surroundings: pytest.MonkeyPatch, name: str) -> None:
    surroundings.delenv(name)

    with pytest.raises(SettingsRefused, match=f"^{name} is not set: "):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://db/tenantry"),
        ("DATABASE_URL", "db:5432"),
        ("TENANTS_DATABASE_URL", "sqlite:///x"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("SECRET_KEY", "too short"),
        ("WORLD", "virtual"),
        ("DEPLOYER", "ssh"),
        ("TENANT_PORT", "70000"),
        ("TENANT_PORT", "none"),
        ("SMTP_PORT", "0"),
        ("FORWARD_THREADS", "0"),
        ("COMPENSATION_THREADS", "0"),
        ("DATABASE_POOL", "1"),
        ("LEASE", "soon"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_in_one_sentence(
    surroundings: pytest.MonkeyPatch, name: str, value: str
) -> None:
    surroundings.setenv(f"TENANTRY_{name}", value)

    with pytest.raises(SettingsRefused) as refusal:
        read_settings()

    assert str(refusal.value).startswith(f"TENANTRY_{name} makes no sense: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "together",
    [
        {"LEASE": "5", "LEASE_RENEWAL": "3"},
        {"LEASE": "0", "LEASE_RENEWAL": "0"},
        {"DEPLOYER": "http"},
        {"REGIONS": ""},
        {"REGIONS": "eu,,us"},
        {"TENANT_SCHEME": "gopher"},
        {"SWEEP_INTERVAL": "0"},
        {"PACE": "-1"},
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(
    surroundings: pytest.MonkeyPatch, together: dict[str, str]
) -> None:
    for name, value in together.items():
        surroundings.setenv(f"TENANTRY_{name}", value)

    with pytest.raises(SettingsRefused, match=r"^The settings contradict each other: "):
        read_settings()


def test_a_refusal_does_not_repeat_a_secret(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("TENANTRY_SECRET_KEY", "hunter2")

    with pytest.raises(SettingsRefused) as refusal:
        read_settings()

    assert "hunter2" not in str(refusal.value)


def test_secrets_are_not_printed() -> None:
    assert ENOUGH["TENANTRY_SECRET_KEY"] not in repr(read_settings())


def test_an_option_goes_before_the_environment(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("TENANTRY_FORWARD_THREADS", "3")

    assert read_settings({"forward_threads": 5}).forward_threads == 5


def test_regions_are_separated_by_commas(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("TENANTRY_REGIONS", "moon, mars")

    assert read_settings().regions == ("moon", "mars")


@pytest.mark.parametrize("written", ["2.5", "PT2.5S", "00:00:02.5"])
def test_a_length_of_time_is_seconds_unless_it_says_otherwise(surroundings: pytest.MonkeyPatch, written: str) -> None:
    surroundings.setenv("TENANTRY_PACE", written)

    assert read_settings().pace == timedelta(seconds=2.5)


def test_the_settings_cannot_be_changed() -> None:
    settings = read_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.lease = settings.pace  # type: ignore[misc]  # that it is refused is the point
