"""The server's command line: its help, the tokens that it issues, its one-line error messages."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from access.principals import AccountById, MemberById, Principal, Staff, load_principals
from devserver.__main__ import main as devserver
from models import Member, Role, ServiceAccount
from models.columns import new_id
from runtime.database import clock
from runtime.migrations import head
from runtime.settings import settings
from server.__main__ import main
from server.auth.issue import TokenRefused, TokenRequest, issue_token
from server.auth.tokens import Credential, read_token
from server.uvicorn_config import CannotListen, listen
from tests.conftest import SECRET_KEY
from tests.run_harness import RunHarness
from tests.scratch_database import scratch_database

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def people(harness: RunHarness) -> RunHarness:
    with harness.database.transaction() as session:
        now, home = clock(session), harness.organisation.id
        for role in Role:
            email = f"{role.value.lower()}@{harness.organisation.slug}.example"
            session.add(Member(organisation_id=home, email=email, name=role.title(), role=role, created_at=now))
        session.add(
            ServiceAccount(
                organisation_id=home,
                name="Partner",
                scopes=["tenants:read", "tenants:cancel", "audit:read"],
                tenant_ids=[new_id()],
                created_at=now,
            )
        )
    return harness


def principal_of(credential: Credential, harness: RunHarness) -> Principal:
    """The principal that a token names, from the database."""
    return harness.read(lambda session: load_principals(session, [credential.ref]))[credential.ref]


@contextmanager
def database_in_the_environment(url: str) -> Iterator[None]:
    """Name this database in the environment of the test process, and read its settings again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENANTRY_DATABASE_URL", url)
        settings.cache_clear()
        yield
    settings.cache_clear()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_a_token_for_a_role_names_the_member_with_that_role(
    people: RunHarness, capsys: pytest.CaptureFixture[str], role: Role
) -> None:
    assert main(["token", "--organisation", people.organisation.slug, "--role", role.value.lower()]) == 0

    credential = read_token(people.settings, capsys.readouterr().out.strip())
    principal = principal_of(credential, people)
    assert isinstance(credential.ref, MemberById)
    assert principal.role is role
    assert principal.actor.organisation_id == people.organisation.id
    assert principal.actor.email == f"{role.value.lower()}@{people.organisation.slug}.example"
    assert credential.expires_at is not None
    assert timedelta(hours=23) < credential.expires_at - datetime.now(UTC) <= timedelta(days=1)


def test_a_token_for_scopes_limits_the_service_account_to_them(
    people: RunHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    scopes = "tenants:read, tenants:cancel"

    assert main(["token", "--organisation", people.organisation.slug, "--scopes", scopes, "--days", "2"]) == 0

    credential = read_token(people.settings, capsys.readouterr().out.strip())
    principal = principal_of(credential, people)
    assert isinstance(credential.ref, AccountById)
    assert credential.scope_limit == frozenset({"tenants:read", "tenants:cancel"})
    assert principal.scopes == {"tenants:read", "tenants:cancel", "audit:read"}
    assert principal.actor.tenant_ids is not None
    assert len(principal.actor.tenant_ids) == 1


def test_a_support_token_names_the_member_of_staff(people: RunHarness, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--support", "--email", "sam@tenantry.example"]) == 0

    ref = read_token(people.settings, capsys.readouterr().out.strip()).ref
    assert isinstance(ref, Staff)
    assert ref.email == "sam@tenantry.example"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--role", "owner"], "needs an organisation: give --organisation."),
        (["--organisation", "unknown", "--role", "owner"], "There is no organisation unknown."),
        (
            ["--organisation", "{org}", "--role", "owner", "--email", "x@y.example"],
            "has no owner with the e-mail address x@y.example.",
        ),
        (["--organisation", "{org}", "--scopes", "everything"], "There is no scope everything"),
        (["--organisation", "{org}", "--scopes", "audit:export"], "does not have the scope audit:export"),
        (["--support", "--days", "0"], "A token must be valid for more than 0 days"),
        (["--support", "--organisation", "{org}"], "Support belongs to no organisation"),
        (["--organisation", "{org}", "--scopes", ""], "Name at least one scope"),
        (["--organisation", "{org}", "--scopes", " , "], "Name at least one scope"),
    ],
)
def test_an_impossible_token_is_refused_with_a_one_line_message(
    people: RunHarness, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    filled = [argument.replace("{org}", people.organisation.slug) for argument in arguments]

    assert main(["token", *filled]) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("token_request", "sentence"),
    [
        (TokenRequest("acme", "OWNER", (), support=False, email=None, lifetime=timedelta(days=1)), "people sign in"),
        (TokenRequest(None, None, (), support=True, email=None, lifetime=timedelta(hours=1)), "must name a person"),
        (
            TokenRequest(None, None, (), support=True, email="sam@x.example", lifetime=timedelta(days=1)),
            "at most 12 hours",
        ),
    ],
)
def test_with_an_identity_provider_only_short_support_tokens_are_issued(
    harness: RunHarness, token_request: TokenRequest, sentence: str
) -> None:
    more = {"oidc_issuer": "https://login.example.com", "oidc_audience": "api"}

    with pytest.raises(TokenRefused, match=sentence):
        issue_token(harness.settings.model_copy(update=more), token_request)


def test_an_invalid_setting_stops_the_start_with_a_one_line_message() -> None:
    missing = run("serve")
    wrong = run(
        "serve", TENANTRY_DATABASE_URL="mysql://db/x", TENANTRY_REDIS_URL="redis://x", TENANTRY_SECRET_KEY=SECRET_KEY
    )

    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("TENANTRY_DATABASE_URL is not set")
    assert wrong.returncode == 2
    assert wrong.stderr == "Invalid value for TENANTRY_DATABASE_URL: must begin with postgresql://.\n"


def test_the_schema_needs_no_settings_at_all() -> None:
    printed = run("schema")

    assert printed.returncode == 0
    assert printed.stdout == (ROOT / "schema" / "schema.graphql").read_text()


def test_migrating_again_changes_nothing(harness: RunHarness, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == f"The database was already at revision {head()}.\n"


def test_a_migration_prints_the_revisions_before_and_after(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with scratch_database(database_url) as url, database_in_the_environment(url):
        up = main(["migrate"]), capsys.readouterr().out
        down = main(["migrate", "--to", "base"]), capsys.readouterr().out

    assert up == (0, f"The database was migrated from revision base and is now at revision {head()}.\n")
    assert down == (0, f"The database was migrated from revision {head()} and is now at revision base.\n")


@pytest.mark.parametrize("arguments", [["migrate"], ["token", "--organisation", "acme", "--role", "owner"]])
def test_an_unreachable_database_is_reported_in_one_line(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with database_in_the_environment("postgresql://127.0.0.1:1/x"):
        code = main(arguments)

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith("The database cannot be used: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "beginning"),
    [
        ("127.0.0.1", "Address already in use"),
        ("nohost.invalid", ""),
        ("192.0.2.1", "Cannot assign requested address"),
        ("a..b", ""),
    ],
)
def test_a_server_that_cannot_listen_says_so_in_one_sentence(host: str, beginning: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotListen) as refused:
            asyncio.run(listen(host, port))

    text = str(refused.value)
    assert text.startswith(f"Cannot listen on port {port} of {host}: {beginning}")
    assert text.endswith(". Name an address of this machine with --host, and a free port with --port.")
    assert "Errno" not in text


def test_a_server_whose_port_is_taken_prints_the_sentence_last() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(
            "serve",
            "--port",
            str(port),
            TENANTRY_DATABASE_URL="postgresql://127.0.0.1:1/x",
            TENANTRY_REDIS_URL="redis://127.0.0.1:1",
            TENANTRY_SECRET_KEY=SECRET_KEY,
            TENANTRY_DEVELOPMENT="true",
        )

    last = ended.stderr.splitlines()[-1]
    assert (ended.returncode, ended.stdout) == (2, "")
    assert last.startswith(f"Cannot listen on port {port} of 127.0.0.1: Address already in use. ")
    assert "ERROR" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_listens_on_each_address_of_its_host(host: str) -> None:
    sockets = asyncio.run(listen(host, 0))
    for one in sockets:
        one.listen()
        socket.create_connection(one.getsockname()[:2], timeout=5).close()
        one.close()

    assert sockets


def test_a_revision_that_does_not_exist_is_refused_with_a_one_line_message(
    harness: RunHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--to", "bogus"]) == 2

    message = capsys.readouterr().err
    assert "bogus" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "arguments", "sentence"),
    [
        (main, ["serve", "--port", "99999"], "a port is a number between 0 and 65535"),
        (main, ["serve", "--port", "http"], "a port is a number between 0 and 65535"),
        (main, ["token", "--support", "--days", "1e12"], "the lifetime is a number of days, at most 3650"),
        (main, ["token", "--support", "--days", "nan"], "the lifetime is a number of days, at most 3650"),
        (main, ["token", "--support", "--days", "two"], "the lifetime is a number of days, at most 3650"),
        (devserver, ["--port", "abc"], "must be a port number between 0 and 65535"),
        (devserver, ["--workers", "many"], "must be between 1 and 64 processes"),
        (devserver, ["--pace", "slow"], "must be between 0 and "),
    ],
)
def test_an_invalid_option_is_refused_with_the_accepted_values(
    capsys: pytest.CaptureFixture[str], program: Callable[[list[str]], int], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        program(arguments)

    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
