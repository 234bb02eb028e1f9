"""A number, an address or a name that would fail later is refused at the start, for every setting of its kind."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from psycopg import pq

from runtime.email_addresses import mailbox
from runtime.postgres_address import postgres_address
from runtime.setting_forms import kinds_of
from runtime.settings import SETTINGS, SettingsRefused, read_settings

ENOUGH = {
    "TENANTRY_DATABASE_URL": "postgresql://app@db/tenantry",
    "TENANTRY_REDIS_URL": "redis://127.0.0.1:6379/0",
    "TENANTRY_SECRET_KEY": "8119e59753e481a83a286d777ac270bf",
}
WHOLE_NUMBERS = sorted(name for name, field in SETTINGS.items() if int in kinds_of(field))
LENGTHS = sorted(name for name, field in SETTINGS.items() if timedelta in kinds_of(field))
SWITCHES = sorted(name for name, field in SETTINGS.items() if bool in kinds_of(field))
POSTGRES = ["TENANTRY_API_DATABASE_URL", "TENANTRY_DATABASE_URL", "TENANTRY_TENANTS_DATABASE_URL"]
PAGES = ["TENANTRY_CONSOLE_URL", "TENANTRY_OIDC_ISSUER", "TENANTRY_ALLOWED_ORIGINS"]
WITH_PORT = {
    **dict.fromkeys(POSTGRES, "postgresql://app@{}/tenantry"),
    **dict.fromkeys([*PAGES, "TENANTRY_DEPLOYER_URL"], "https://{}"),
    "TENANTRY_REDIS_URL": "redis://{}/0",
}
WITH_HOST = {**WITH_PORT, "TENANTRY_SMTP_HOST": "{}"}
NEEDS = {"TENANTRY_OIDC_ISSUER": {"TENANTRY_OIDC_AUDIENCE": "api"}}


@contextmanager
def environment(**more: str) -> Iterator[None]:
    others = {name: value for name, value in os.environ.items() if "TENANTRY" not in name.upper()}
    with patch.dict(os.environ, others | ENOUGH | more, clear=True):
        yield


def refusal_of(name: str, value: str) -> str:
    with environment(**NEEDS.get(name, {}), **{name: value}), pytest.raises(SettingsRefused) as refusal:
        read_settings()
    return str(refusal.value)


def accept(name: str, value: str) -> None:
    with environment(**NEEDS.get(name, {}), **{name: value}):
        read_settings()


@st.composite
def malformed_numbers(draw: st.DrawFn) -> str:
    """A number as a person writes it, with a change that Python or pydantic would read over."""
    number = str(draw(st.integers(10, 99)))
    zero = draw(st.sampled_from([ord(character) for character in "\uff10\u0660\u0966\U0001d7ce"]))
    first, last = number[0], number[1]
    return draw(
        st.sampled_from(
            [
                "".join(chr(zero + int(digit)) for digit in number),
                f"{first}{chr(zero + int(last))}",
                f"{first}_{last}",
                f"{first} {last}",
                f"{first}e{last}",
                f"{first}e0",
                f"+{number}",
                f"0x{number}",
                f"{number}s",
                f"{number},0",
                f"{number}.",
                f".{number}",
                f"--{number}",
                f"{number}\u00b2",
                number * 20,
                "nan",
                "inf",
                "none",
            ]
        )
    )


@pytest.mark.parametrize("name", [*WHOLE_NUMBERS, *LENGTHS])
@hypothesis(max_examples=25, deadline=None)
@given(malformed_numbers())
def test_a_malformed_number_is_refused_with_the_form_and_the_range(name: str, value: str) -> None:
    number = "a whole number" if name in WHOLE_NUMBERS else "a number of seconds"

    refusal = refusal_of(name, value)

    assert refusal.startswith(f"Invalid value for {name}: must be {number} ")
    assert " to " in refusal or " at most " in refusal


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
@pytest.mark.parametrize("value", ["10.0", "-1", "1.5", "PT15S"])
def test_a_fraction_or_a_negative_number_is_no_whole_number(name: str, value: str) -> None:
    assert refusal_of(name, value).startswith(f"Invalid value for {name}: must be a whole number ")


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("value", ["15s", "P", "PT", "1:00", "15 s", "P1W", "3600.1", "P1DT1S"])
def test_a_malformed_or_too_long_time_is_refused(name: str, value: str) -> None:
    assert refusal_of(name, value).startswith(f"Invalid value for {name}: must be a number of seconds ")


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["maybe", "2", "\uff11", "enabled"])
def test_a_switch_is_true_or_false(name: str, value: str) -> None:
    assert refusal_of(name, value) == f"Invalid value for {name}: must be true or false."


def test_a_choice_lists_its_values() -> None:
    assert refusal_of("TENANTRY_WORLD", "x") == "Invalid value for TENANTRY_WORLD: must be real or simulated."


LABEL = st.from_regex(r"\A[a-z0-9]{1,8}\Z")


@st.composite
def malformed_hosts(draw: st.DrawFn) -> str:
    one, two = draw(LABEL), draw(LABEL)
    return draw(
        st.sampled_from(
            [
                *(f"{one}..{two}", f".{one}", f"-{one}", f"{one}-", f"{one}.-{two}", f"{one}-.{two}"),
                *(f"{one} {two}", f"{one}!{two}", f"{one}\u3002{two}", f"\uff11{one}", f"{one}\u200b{two}"),
                *("10.0.0.256", "1.2.3", f"{one}.7", "x" * 64, ".".join(["x" * 50] * 6)),
            ]
        )
    )


@pytest.mark.parametrize("name", WITH_HOST)
@hypothesis(max_examples=30, deadline=None)
@given(malformed_hosts())
def test_a_malformed_host_is_refused(name: str, host: str) -> None:
    assert refusal_of(name, WITH_HOST[name].format(host)).startswith(f"Invalid value for {name}: must ")


@pytest.mark.parametrize("name", WITH_HOST)
def test_a_host_may_be_a_name_or_an_address(name: str) -> None:
    for host in ("db", "db-1.internal", "my_service", "xn--mller-kva.example", "10.0.0.7", "a" * 63):
        accept(name, WITH_HOST[name].format(host))


@pytest.mark.parametrize("name", WITH_PORT)
@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "x", "\uff18\uff10", "8_0", "8e1", "+80"])
def test_a_malformed_port_is_refused(name: str, port: str) -> None:
    assert refusal_of(name, WITH_PORT[name].format(f"host:{port}")).startswith(f"Invalid value for {name}: must ")


@pytest.mark.parametrize("name", [*PAGES, "TENANTRY_DEPLOYER_URL"])
@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://h?q",
            "https://h/?",
            "https://h/p?q=1",
            "https://h#f",
            "https://h/#",
            "https://h /",
            "https://h/a b",
        ),
        *("//h", "h", "https:", "https://", "https:///p", "ftp://h", "https://h:", "https://[::1", "https://h/%zz"),
        *("https://h/\u00e4", "https://h\\x", "javascript:alert(1)", "https://h/<b>"),
    ],
)
def test_a_malformed_web_address_is_refused(name: str, url: str) -> None:
    assert refusal_of(name, url).startswith(f"Invalid value for {name}: must ")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("login", ["me@", "me:hunter2hunter2@", "@", ":@"])
def test_an_address_for_browsers_has_no_login(name: str, login: str) -> None:
    refusal = refusal_of(name, f"https://{login}console.example.com")

    assert "must have no user name and no password" in refusal
    assert "hunter2hunter2" not in refusal


@pytest.mark.parametrize(
    "origin",
    [
        *("https://c.example/", "https://c.example/p", "https://C.example", "https://c.example:443", "http://c:80"),
        *("*", "null", "https://c.example:0443", "https://*.example.com", "HTTPS://c.example", "https://a,"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    assert refusal_of("TENANTRY_ALLOWED_ORIGINS", origin).startswith("Invalid value for TENANTRY_ALLOWED_ORIGINS: must")


@pytest.mark.parametrize(
    "url", ["redis://h/0#x", "unix://run/valkey.sock", "redis://h/\uff11", "redis://h:/0", "redis://a,b/0"]
)
def test_a_malformed_address_of_the_broker_is_refused(url: str) -> None:
    assert refusal_of("TENANTRY_REDIS_URL", url).startswith("Invalid value for TENANTRY_REDIS_URL: must ")


@pytest.mark.parametrize(
    "sender",
    [
        *("x@", "@x.example", "a@-x.example", "a@b..example", "a b@c.example", "a@b.example, c@d.example"),
        *(
            "Acme, Inc. <x@y.example>",
            "Acme <a@b.example",
            "a@b.example>",
            "x <a@b.example> y",
            "<>",
            "a\u212a@b.example",
        ),
        *("g: a@b.example;", "a@localhost", "a@1.2.3.4", "Acme <Acme <a@b.example>>"),
    ],
)
def test_a_malformed_sender_is_refused(sender: str) -> None:
    assert refusal_of("TENANTRY_MAIL_FROM", sender).startswith(
        "Invalid value for TENANTRY_MAIL_FROM: must be an e-mail"
    )


@pytest.mark.parametrize(
    ("written", "name", "address"),
    [
        ("a@b.example", "", "a@b.example"),
        ("<a@b.example>", "", "a@b.example"),
        ("Acme Inc. <a@b.example>", "Acme Inc.", "a@b.example"),
        ('"Acme, \\"The\\" Inc." <a@b.example>', 'Acme, "The" Inc.', "a@b.example"),
        ("\u00c4rger\u2122 <a@m\u00fcller.example>", "\u00c4rger\u2122", "a@xn--mller-kva.example"),
    ],
)
def test_a_sender_may_have_a_name(written: str, name: str, address: str) -> None:
    accept("TENANTRY_MAIL_FROM", written)

    found = mailbox(written)

    assert (found.display_name, found.addr_spec) == (name, address)


@pytest.mark.parametrize("name", POSTGRES)
@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("sslmode=bogus", "sslmode"),
        ("connect_timeout=abc", "connect_timeout"),
        ("connect_timeout=\uff11", "connect_timeout"),
        ("no_such_option=1", "no_such_option"),
        ("host=", "host"),
        ("host=a,,b", "host"),
        ("host=a,b,c&port=1,2", "port"),
        ("host=a,b&hostaddr=10.0.0.1", "hostaddr"),
        ("hostaddr=db", "hostaddr"),
        ("sslrootcert=/no/such/file", "sslrootcert"),
        ("sslcrldir=/no/such/folder", "sslcrldir"),
        ("sslsni=maybe", "sslsni"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("replication=database", "replication"),
        ("options=bogus", "options"),
        ("service=no_such_service", "service"),
        ("sslnegotiation=direct&sslmode=prefer", "sslnegotiation"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "together"),
    ],
)
def test_a_parameter_of_libpq_that_would_fail_later_is_named(name: str, parameters: str, named: str) -> None:
    refusal = refusal_of(name, f"postgresql://app@db/tenantry?{parameters}")

    assert refusal.startswith(f"Invalid value for {name}: ")
    assert named in refusal.removeprefix(f"Invalid value for {name}")


def test_a_part_of_a_password_is_not_shown_as_an_unknown_parameter() -> None:
    refusal = refusal_of("TENANTRY_DATABASE_URL", "postgresql://app@db/tenantry?hunter=two@db/x")

    assert "hunter" not in refusal


@pytest.fixture(scope="module")
def closing_server() -> Iterator[int]:
    """The port of a server that accepts connections, and never answers a client that libpq has let through."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        yield server.getsockname()[1]


PLACE = {"host", "hostaddr", "port", "service", "servicefile"}
KEYWORDS = sorted({option.keyword.decode() for option in pq.Conninfo.get_defaults()} - PLACE)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_parameter_that_the_judge_accepts_lets_libpq_connect(keyword: str, closing_server: int) -> None:
    for value in ("bogus", "-1", "1e3", "9" * 11, "", "1", "require"):
        try:
            postgres_address(f"postgresql://app@db/tenantry?{keyword}={value}")
        except ValueError:
            continue
        url = f"host=127.0.0.1 port={closing_server} user=app dbname=x {keyword}='{value}'"
        connection = pq.PGconn.connect_start(url.encode())

        assert connection.status != pq.ConnStatus.BAD, (keyword, value, connection.error_message)
        connection.finish()


def test_a_service_that_the_service_file_defines_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "services").write_text("[tenantry]\nhost=db\n")

    with environment(PGSERVICEFILE=str(tmp_path / "services"), TENANTRY_DATABASE_URL="postgresql:///?service=tenantry"):
        read_settings()


def test_an_invalid_variable_of_libpq_is_named_as_the_cause() -> None:
    with environment(PGSSLMODE="bogus"), pytest.raises(SettingsRefused, match="environment variables of libpq"):
        read_settings()


def test_the_judge_of_an_address_does_not_connect_to_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        postgres_address(f"postgresql://app@127.0.0.1:{server.getsockname()[1]}/tenantry?hostaddr=127.0.0.1")

        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_name_that_only_looks_like_a_setting_is_refused_with_the_setting(name: str) -> None:
    rest = name.removeprefix("TENANTRY_")
    for wrong in (
        *(f"TENANTRY{rest}", f"TENANTRY-{rest}", f"TENANTRY.{rest}", f"TENANTRY__{rest}", f"TENANTRY {rest}"),
        *(name.lower(), name.capitalize(), name.replace("_", "-"), f"tenantry{rest}", f"TENANTY_{rest}"),
        *(f"TENENTRY_{rest}", f"TENANTRRY_{rest}"),
    ):
        with environment(**{wrong: "3"}), pytest.raises(SettingsRefused) as refusal:
            read_settings()

        assert str(refusal.value).startswith(f"There is no setting {wrong}: did you mean {name}?")


@pytest.mark.parametrize("variable", ["TENANT_LEASE", "MYTENANTRY_LEASE", "TENANTRY", "TENANCY_LOG_LEVEL", "LEASE"])
def test_a_variable_of_another_program_is_accepted(variable: str) -> None:
    accept(variable, "3")
