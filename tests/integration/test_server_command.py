"""The server's command line: good help, tokens that work, and one sentence for an invalid setting."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from access.principals import AccountById, MemberById, Principal, Staff, load_principals
from devserver.__main__ import main as devserver
from models import Member, Role, ServiceAccount
from models.columns import new_id
from runtime.database import clock
from server.__main__ import main
from server.auth.issue import TokenRefused, Wanted, token_for
from server.auth.tokens import Claim, read_token
from tests.run_harness import RunHarness

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


def standing_behind(claim: Claim, harness: RunHarness) -> Principal:
    """What the tables say of whom a token names."""
    return harness.read(lambda session: load_principals(session, [claim.whose]))[claim.whose]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")}
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_a_members_token(people: RunHarness, capsys: pytest.CaptureFixture[str], role: Role) -> None:
    assert main(["token", "--organisation", people.organisation.slug, "--role", role.value.lower()]) == 0

    claim = read_token(people.settings, capsys.readouterr().out.strip())
    principal = standing_behind(claim, people)
    assert isinstance(claim.whose, MemberById)
    assert principal.role is role
    assert principal.actor.organisation_id == people.organisation.id
    assert principal.actor.email == f"{role.value.lower()}@{people.organisation.slug}.example"
    assert claim.expires_at is not None
    assert timedelta(hours=23) < claim.expires_at - datetime.now(UTC) <= timedelta(days=1)


def test_a_service_accounts_token(people: RunHarness, capsys: pytest.CaptureFixture[str]) -> None:
    scopes = "tenants:read, tenants:cancel"

    assert main(["token", "--organisation", people.organisation.slug, "--scopes", scopes, "--days", "2"]) == 0

    claim = read_token(people.settings, capsys.readouterr().out.strip())
    principal = standing_behind(claim, people)
    assert isinstance(claim.whose, AccountById)
    assert claim.narrowed_to == frozenset({"tenants:read", "tenants:cancel"})
    assert principal.scopes == {"tenants:read", "tenants:cancel", "audit:read"}
    assert principal.actor.tenant_ids is not None
    assert len(principal.actor.tenant_ids) == 1


def test_supports_token(people: RunHarness, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--support", "--email", "sam@tenantry.example"]) == 0

    whose = read_token(people.settings, capsys.readouterr().out.strip()).whose
    assert isinstance(whose, Staff)
    assert whose.email == "sam@tenantry.example"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--role", "owner"], "There is no organisation without a slug"),
        (["--organisation", "nobody", "--role", "owner"], "There is no organisation nobody"),
        (["--organisation", "{org}", "--role", "owner", "--email", "x@y.example"], "has no owner called x@y.example"),
        (["--organisation", "{org}", "--scopes", "everything"], "There is no scope everything"),
        (["--organisation", "{org}", "--scopes", "audit:export"], "does not have the scope audit:export"),
        (["--support", "--days", "0"], "A token is good for more than no days"),
        (["--support", "--organisation", "{org}"], "Support belongs to no organisation"),
        (["--organisation", "{org}", "--scopes", ""], "Name one scope at least"),
        (["--organisation", "{org}", "--scopes", " , "], "Name one scope at least"),
    ],
)
def test_a_token_for_nobody_is_refused_in_one_sentence(
    people: RunHarness, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    filled = [argument.replace("{org}", people.organisation.slug) for argument in arguments]

    assert main(["token", *filled]) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Wanted("acme", "OWNER", (), support=False, email=None, life=timedelta(days=1)), "People sign in here"),
        (Wanted(None, None, (), support=True, email=None, life=timedelta(hours=1)), "Support names a person"),
        (Wanted(None, None, (), support=True, email="sam@x.example", life=timedelta(days=1)), "12 hours at the most"),
    ],
)
def test_where_people_sign_in_only_support_gets_a_signed_token_and_a_brief_one(
    harness: RunHarness, wanted: Wanted, sentence: str
) -> None:
    more = {"oidc_issuer": "https://login.example.com", "oidc_audience": "api"}

    with pytest.raises(TokenRefused, match=sentence):
        token_for(harness.settings.model_copy(update=more), wanted)


def test_settings_that_make_no_sense_stop_the_start_with_one_sentence() -> None:
    missing = run("serve")
    wrong = run(
        "serve", TENANTRY_DATABASE_URL="mysql://db/x", TENANTRY_REDIS_URL="redis://x", TENANTRY_SECRET_KEY="x" * 32
    )

    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("TENANTRY_DATABASE_URL is not set")
    assert wrong.returncode == 2
    assert wrong.stderr == "Invalid value for TENANTRY_DATABASE_URL: must begin with postgresql://.\n"


def test_the_schema_needs_no_settings_at_all() -> None:
    printed = run("schema")

    assert printed.returncode == 0
    assert printed.stdout == (ROOT / "schema" / "schema.graphql").read_text()


def test_migrating_again_changes_nothing(harness: RunHarness) -> None:
    assert main(["migrate"]) == 0


@pytest.mark.parametrize("arguments", [["migrate"], ["token", "--organisation", "acme", "--role", "owner"]])
def test_a_database_that_is_away_is_said_in_one_sentence(arguments: list[str]) -> None:
    away = run(
        *arguments,
        TENANTRY_DATABASE_URL="postgresql://127.0.0.1:1/x",
        TENANTRY_REDIS_URL="redis://127.0.0.1:1",
        TENANTRY_SECRET_KEY="x" * 32,
    )

    assert (away.returncode, away.stdout) == (2, "")
    assert away.stderr.startswith("The database cannot be used: ")
    assert away.stderr.count("\n") == 1


def test_a_revision_that_does_not_exist_is_refused_in_one_sentence(
    harness: RunHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--to", "bogus"]) == 2

    said = capsys.readouterr().err
    assert "bogus" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "arguments", "sentence"),
    [
        (main, ["serve", "--port", "99999"], "a port is a number between 0 and 65535"),
        (main, ["serve", "--port", "http"], "a port is a number between 0 and 65535"),
        (main, ["token", "--support", "--days", "1e12"], "a token is good for a number of days, 3650 at most"),
        (main, ["token", "--support", "--days", "nan"], "a token is good for a number of days, 3650 at most"),
        (main, ["token", "--support", "--days", "two"], "a token is good for a number of days, 3650 at most"),
        (devserver, ["--port", "abc"], "a port is a number between 0 and 65535"),
        (devserver, ["--workers", "many"], "between 1 and 64 processes make sense"),
        (devserver, ["--pace", "slow"], "between 0 and "),
    ],
)
def test_an_option_that_makes_no_sense_is_told_what_would(
    capsys: pytest.CaptureFixture[str], program: Callable[[list[str]], int], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        program(arguments)

    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
