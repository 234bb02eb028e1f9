"""One rule for every setting: blanks at the ends do not count, empty is not set, unknown is refused."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from unittest.mock import patch

import pytest
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from runtime import masking
from runtime.known_secrets import KnownSecrets
from runtime.masking import masked
from runtime.settings import Settings, SettingsRefused, read_settings

ENOUGH = {
    "TENANTRY_DATABASE_URL": "postgresql://app:hunter2-hunter2@db/tenantry",
    "TENANTRY_REDIS_URL": "redis://127.0.0.1:6379/0",
    "TENANTRY_SECRET_KEY": "8119e59753e481a83a286d777ac270bf",
}


def written(field: FieldInfo) -> str:
    """The default of a setting, as a person writes it into the environment."""
    match field.default:
        case timedelta() as length:
            return f"{length.total_seconds():g}"
        case bool() as flag:
            return str(flag).lower()
        case default:
            return str(default)


CHOSEN = {
    "TENANTRY_API_DATABASE_URL": "postgresql://api@db/tenantry",
    "TENANTRY_TENANTS_DATABASE_URL": "postgresql://tenants@db/tenants",
    "TENANTRY_WORLD": "simulated",
    "TENANTRY_DEPLOYER": "mine.deployer:make",
    "TENANTRY_DEPLOYER_URL": "https://deployer.example",
    "TENANTRY_DEPLOYER_TOKEN": "s3cret-of-the-deployer",
    "TENANTRY_TENANT_DOMAIN": "tenants.example.com",
    "TENANTRY_TENANT_SCHEME": "https",
    "TENANTRY_TENANT_PORT": "8443",
    "TENANTRY_REGIONS": "moon,mars",
    "TENANTRY_CONSOLE_URL": "https://console.example.com",
    "TENANTRY_SMTP_HOST": "relay.example.com",
    "TENANTRY_SMTP_PORT": "587",
    "TENANTRY_SMTP_USERNAME": "mailer",
    "TENANTRY_SMTP_PASSWORD": "s3cret-of-the-relay",
    "TENANTRY_SMTP_STARTTLS": "true",
    "TENANTRY_ALLOW_UNENCRYPTED_SECRETS": "true",
    "TENANTRY_MAIL_FROM": "Acme <no-reply@acme.example>",
    "TENANTRY_LEASE": "20",
    "TENANTRY_LEASE_RENEWAL": "4",
    "TENANTRY_SWEEP_INTERVAL": "2",
    "TENANTRY_FORWARD_THREADS": "3",
    "TENANTRY_COMPENSATION_THREADS": "2",
    "TENANTRY_ADAPTER_CALLS": "4",
    "TENANTRY_DRAIN_TIMEOUT": "30",
    "TENANTRY_PACE": "0.5",
    "TENANTRY_OIDC_ISSUER": "https://login.example.com",
    "TENANTRY_OIDC_AUDIENCE": "https://api.example.com",
    "TENANTRY_OIDC_CLIENT_ID": "dashboard",
    "TENANTRY_OIDC_SCOPE": "openid",
    "TENANTRY_SIGNED_TOKENS": "true",
    "TENANTRY_SEEDED_TOKENS": "tokens.json",
    "TENANTRY_ALLOWED_ORIGINS": "https://console.example.com",
    "TENANTRY_TRUSTED_DOCUMENTS": "documents.json",
    "TENANTRY_TRUSTED_ONLY": "true",
    "TENANTRY_TRUSTED_PROXIES": "10.0.0.7,10.1.0.0/16",
    "TENANTRY_SOCKETS_PER_ADDRESS": "10",
    "TENANTRY_SOCKETS_PER_CALLER": "20",
    "TENANTRY_MAX_CONNECTIONS": "2000",
    "TENANTRY_BUDGET": "1000",
    "TENANTRY_BUDGET_REFILL": "10",
    "TENANTRY_DATABASE_POOL": "30",
    "TENANTRY_STATEMENT_TIMEOUT": "9",
    "TENANTRY_LOCK_TIMEOUT": "4",
    "TENANTRY_LOG_LEVEL": "debug",
}
VALID = {f"TENANTRY_{name.upper()}": written(field) for name, field in Settings.model_fields.items()} | CHOSEN
NEEDS = {
    "TENANTRY_OIDC_ISSUER": ["TENANTRY_OIDC_AUDIENCE"],
    "TENANTRY_OIDC_AUDIENCE": ["TENANTRY_OIDC_ISSUER"],
    "TENANTRY_OIDC_CLIENT_ID": ["TENANTRY_OIDC_ISSUER", "TENANTRY_OIDC_AUDIENCE"],
    "TENANTRY_TRUSTED_ONLY": ["TENANTRY_TRUSTED_DOCUMENTS"],
}
"""Settings that are valid only together with others."""

EVERY = sorted(f"TENANTRY_{name.upper()}" for name in Settings.model_fields)
OPTIONAL = [name for name in EVERY if name not in ENOUGH]
SECRET = ["TENANTRY_DEPLOYER_TOKEN", "TENANTRY_SECRET_KEY", "TENANTRY_SMTP_PASSWORD"]
MAY_HAVE_LINES = {"TENANTRY_SECRET_KEY", "TENANTRY_SMTP_PASSWORD"}

BLANK = st.text(" \t\n\r\v\f\u00a0\u2003\u3000\u200b\u2060\ufeff", min_size=1, max_size=4)
WRITABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
"""What an environment can contain."""


@contextmanager
def environment(**more: str) -> Iterator[None]:
    others = {name: value for name, value in os.environ.items() if not name.upper().startswith("TENANTRY_")}
    with patch.dict(os.environ, others | ENOUGH | more, clear=True), patch.object(masking, "_known", KnownSecrets()):
        yield


def with_what_it_needs(name: str, value: str) -> dict[str, str]:
    return {other: VALID[other] for other in NEEDS.get(name, [])} | {name: value}


@cache
def settings_with(name: str = "", value: str = "") -> Settings:
    """The settings with this one, or with those that are required. Read once for all examples."""
    with environment(**with_what_it_needs(name, value) if name else {}):
        return read_settings()


@pytest.mark.parametrize("name", EVERY)
@hypothesis(max_examples=5, deadline=None)
@given(before=st.just("") | BLANK, after=BLANK)
@example(before="", after="\n")
def test_blanks_at_the_ends_of_a_setting_do_not_count(name: str, before: str, after: str) -> None:
    value = (VALID | ENOUGH)[name]
    with environment(**with_what_it_needs(name, f"{before}{value}{after}")):
        padded = read_settings()

    assert padded == settings_with(name, value)


@pytest.mark.parametrize("name", OPTIONAL)
@hypothesis(max_examples=5, deadline=None)
@given(blank=BLANK)
@example(blank="")
def test_an_optional_setting_that_is_empty_has_its_default(name: str, blank: str) -> None:
    with environment(**{name: blank}):
        emptied = read_settings()

    assert emptied == settings_with()


@pytest.mark.parametrize("name", ENOUGH)
@hypothesis(max_examples=5, deadline=None)
@given(blank=BLANK)
@example(blank="")
def test_a_required_setting_that_is_empty_is_refused(name: str, blank: str) -> None:
    with (
        environment(**{name: blank}),
        pytest.raises(SettingsRefused, match=f"^{name} is not set: the variable is empty. "),
    ):
        read_settings()


@pytest.mark.parametrize("name", EVERY)
@hypothesis(max_examples=15, deadline=None)
@given(value=WRITABLE)
@example(value="9" * 5000)
@example(value="-1")
@example(value="nan")
@example(value="[")
@example(value="\udcff")
@example(value="http://[")
@example(value="redis://app:hunter2\u2100@x")
def test_any_value_is_accepted_or_refused_in_one_sentence_that_names_the_setting(name: str, value: str) -> None:
    with environment(**with_what_it_needs(name, value)):
        try:
            read_settings()
        except SettingsRefused as refusal:
            sentence = str(refusal)
        else:
            return

    assert len(sentence.splitlines()) == 1
    assert sentence.endswith(".")
    assert name in sentence or name.removeprefix("TENANTRY_").lower() in sentence
    assert "Traceback" not in sentence


@pytest.mark.parametrize("name", sorted(set(EVERY) - MAY_HAVE_LINES))
@hypothesis(max_examples=5, deadline=None)
@given(control=st.sampled_from("\n\r\t\x00\x01\x1b\x7f\x85\u2028".replace("\0", "")))
def test_a_control_character_inside_a_setting_is_refused(name: str, control: str) -> None:
    value = (VALID | ENOUGH)[name]

    with (
        environment(**with_what_it_needs(name, f"{value}{control}{value}")),
        pytest.raises(SettingsRefused, match=f"^Invalid value for {name}: "),
    ):
        read_settings()


@pytest.mark.parametrize("name", SECRET)
@hypothesis(max_examples=15, deadline=None)
@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60))
@example(secret="hunter2\nhunter2-hunter2")
def test_no_refusal_and_no_record_shows_a_secret(name: str, secret: str) -> None:
    said = ""
    with environment(**{name: secret}):
        try:
            read_settings()
        except SettingsRefused as refusal:
            said = str(refusal)
        recorded = masked(f"Illegal header value b'Bearer {secret}\\n'")

    assert secret not in said
    assert secret not in recorded


@st.composite
def misspelt(draw: st.DrawFn) -> tuple[str, str]:
    """A setting and its name with one letter dropped, doubled, exchanged or swapped."""
    name = draw(st.sampled_from(EVERY))
    at = draw(st.integers(len("TENANTRY_"), len(name) - 2))
    kind = draw(st.sampled_from(["dropped", "doubled", "exchanged", "swapped"]))
    wrong = {
        "dropped": name[:at] + name[at + 1 :],
        "doubled": name[:at] + name[at] + name[at:],
        "exchanged": name[:at] + draw(st.sampled_from("ABCXYZ")) + name[at + 1 :],
        "swapped": name[:at] + name[at + 1] + name[at] + name[at + 2 :],
    }[kind]
    assume(wrong not in EVERY)
    return name, wrong


@hypothesis(max_examples=100, deadline=None)
@given(misspelt())
@example(("TENANTRY_LEASE", "TENANTRY_LAESE"))
@example(("TENANTRY_LEASE", "tenantry_laese"))
def test_a_misspelt_setting_is_refused_with_the_nearest_name(case: tuple[str, str]) -> None:
    name, wrong = case

    with environment(**{wrong: "3"}), pytest.raises(SettingsRefused) as refusal:
        read_settings()

    assert str(refusal.value).startswith(f"There is no setting {wrong}: did you mean TENANTRY_")
    if len(name) > len("TENANTRY_BUDGET"):  # short names have several neighbours
        assert f"did you mean {name}?" in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("TENANTY_DATABASE_URL", "There is no setting TENANTY_DATABASE_URL: did you mean TENANTRY_DATABASE_URL? "),
        ("TENNTRY_DATBASE_URL", "TENANTRY_DATABASE_URL is not set: is TENNTRY_DATBASE_URL a misspelling of it? "),
    ],
)
def test_a_required_setting_under_a_misspelt_prefix_is_found(written: str, sentence: str) -> None:
    with environment(**{written: "postgresql://app@db/tenantry"}):
        del os.environ["TENANTRY_DATABASE_URL"]
        with pytest.raises(SettingsRefused) as refusal:
            read_settings()

    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    "name",
    [
        "TENANTRY_SERVICE_HOST",
        "TENANTRY_SERVICE_PORT",
        "TENANTRY_SERVICE_PORT_HTTP",
        "TENANTRY_PORT",
        "TENANTRY_PORT_8000_TCP",
        "TENANTRY_PORT_8000_TCP_ADDR",
        "TENANTRY_API_PORT_8000_TCP_PROTO",
        "TENANTRY_TEST_DATABASE_URL",
        "TENANTRY_CONFORMANCE",
    ],
)
def test_what_kubernetes_and_our_tests_set_is_no_misspelling(name: str) -> None:
    with environment(**{name: "tcp://10.0.0.1:8000"}):
        read_settings()


@pytest.mark.parametrize(
    "unsafe",
    [
        {"SMTP_HOST": "relay.example", "SMTP_USERNAME": "mailer", "SMTP_PASSWORD": "s3cret"},
        {"DEPLOYER": "http", "DEPLOYER_URL": "http://deployer.example", "DEPLOYER_TOKEN": "s3cret"},
        {"DEPLOYER": "http", "DEPLOYER_URL": "http://10.0.0.7:8080/v1", "DEPLOYER_TOKEN": "s3cret"},
        {"DEPLOYER": "http", "DEPLOYER_URL": "http://me:s3cret@deployer.example"},
    ],
    ids=str,
)
def test_a_secret_that_would_cross_a_network_unencrypted_is_refused_unless_that_is_allowed(
    unsafe: dict[str, str],
) -> None:
    variables = {f"TENANTRY_{name}": value for name, value in unsafe.items()}

    with environment(**variables), pytest.raises(SettingsRefused, match="would be sent unencrypted to") as refusal:
        read_settings()
    with environment(**variables, TENANTRY_ALLOW_UNENCRYPTED_SECRETS="true"):
        warnings = read_settings().warnings

    assert "TENANTRY_ALLOW_UNENCRYPTED_SECRETS=true" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert [" would be sent unencrypted to " in warning for warning in warnings] == [True]


@pytest.mark.parametrize(
    "safe",
    [
        {"SMTP_HOST": "relay.example", "SMTP_USERNAME": "m", "SMTP_PASSWORD": "s3cret", "SMTP_STARTTLS": "true"},
        {"SMTP_HOST": "127.0.0.1", "SMTP_USERNAME": "m", "SMTP_PASSWORD": "s3cret"},
        {"SMTP_HOST": "relay.example"},
        {"DEPLOYER": "http", "DEPLOYER_URL": "https://deployer.example", "DEPLOYER_TOKEN": "s3cret"},
        {"DEPLOYER": "http", "DEPLOYER_URL": "http://[::1]:8080", "DEPLOYER_TOKEN": "s3cret"},
        {"DEPLOYER": "http", "DEPLOYER_URL": "http://deployer.example"},
        {"REDIS_URL": "rediss://:s3cret@cache.example"},
        {"REDIS_URL": "redis://:s3cret@localhost"},
    ],
    ids=str,
)
def test_a_secret_that_stays_on_this_machine_or_is_encrypted_needs_no_warning(safe: dict[str, str]) -> None:
    with environment(**{f"TENANTRY_{name}": value for name, value in safe.items()}):
        assert read_settings().warnings == []


def test_a_password_that_reaches_another_broker_unencrypted_is_a_warning() -> None:
    with environment(TENANTRY_REDIS_URL="redis://:s3cret@cache.example"):
        [warning] = read_settings().warnings

    assert warning.startswith("The password in TENANTRY_REDIS_URL is sent unencrypted")
