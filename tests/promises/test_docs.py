"""What the documents say is what the code does: links, commands, settings, events, arrows and programs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from models import ResourceStatus, RunStatus, StepStatus, TenantState
from provisioning.events import EventType
from provisioning.lifecycle import LEGAL
from provisioning.steps import saga
from resolvers.permissions import SCOPES
from runtime.settings import Settings
from schema.enums import ProvisioningEventKind, UserErrorCode
from schema.errors import RequestRefused
from server.budgets import RateLimited
from server.faults import AWAY, INTERNAL

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
PROGRAMS = sorted(path.parent.name for path in ROOT.glob("*/__main__.py"))

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ABSOLUTE = re.compile(r"(?<![\w.<>{}$~*/-])/(?:home|root|work|tmp|Users|opt|usr)/")


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def section(name: str, heading: str) -> str:
    """The text below a heading, down to the next one of the same height or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text_of(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section called {heading}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """The cells of every table in a text, without their heads."""
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    heads = {number - 1 for number, row in enumerate(cells) if row[0] and set(row[0]) <= set("-:")}
    return [row for number, row in enumerate(cells) if number not in heads and number - 1 not in heads]


def words(cell: str) -> list[str]:
    """What stands between back-ticks."""
    return re.findall(r"`([^`]+)`", cell)


def arrows(name: str, heading: str) -> set[tuple[str, str]]:
    """Pairs of (from, to) in a section's table. A cell without a name is the beginning."""
    table = [(words(row[0]) or [""], words(row[1])) for row in rows(section(name, heading))]
    return {(before, after) for befores, afters in table for before in befores for after in afters}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in LINK.findall(FENCED.sub("", document.read_text())):
            if "://" not in target and not target.startswith("mailto:"):
                yield document, target


@pytest.mark.parametrize(
    ("document", "target"), [pytest.param(*link, id=f"{link[0].name}-{link[1]}") for link in links()]
)
def test_every_relative_link_leads_somewhere(document: Path, target: str) -> None:
    path, _, fragment = target.partition("#")
    meant = document.parent / path if path else document

    assert meant.exists()
    if fragment:
        assert fragment in {anchor(heading) for heading in HEADING.findall(meant.read_text())}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`(\w+(?:/\w+)*/(?:\w+\.\w+)?)`", document.read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_place_on_somebodys_machine(document: Path) -> None:
    assert ABSOLUTE.findall(document.read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_document_begins_by_saying_what_it_is_for(document: Path) -> None:
    title, blank, first = document.read_text().splitlines()[:3]

    assert title.startswith("# ")
    assert blank == ""
    assert first
    assert first[0] not in "#|-`<!["


@pytest.mark.parametrize("document", sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "index.md"))
def test_the_index_lists_every_document(document: Path) -> None:
    assert f"]({document.name})" in text_of("docs/index.md")


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_the_index_lists_every_decision(decision: Path) -> None:
    title = decision.read_text().splitlines()[0].removeprefix("# ")

    assert f"[{title}](adr/{decision.name})" in text_of("docs/index.md")


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(decision.name[:4]) for decision in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("command", ["make up", "make test", "make demo"])
def test_the_readme_shows_the_commands_that_matter(command: str) -> None:
    assert re.search(rf"^{command}\b", text_of("README.md"), re.MULTILINE)


def make_targets() -> list[str]:
    """What a person may ask make for."""
    phony = re.search(r"^\.PHONY: (.+)$", text_of("Makefile"), re.MULTILINE)
    assert phony
    return phony[1].split()


def test_make_help_describes_every_target() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout

    described = re.findall(r"^ *make (\S+) +\S+", shown, re.MULTILINE)

    assert sorted(described) == sorted(make_targets())


def test_contributing_explains_every_make_target() -> None:
    explained = {row[0] for row in rows(section("CONTRIBUTING.md", "Commands"))}

    assert explained == {f"`make {target}`" for target in make_targets()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_explains_itself(program: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith("usage: python -m ")


@pytest.mark.parametrize("program", sorted({"server", "workers"}))
def test_operating_names_every_process(program: str) -> None:
    assert f"python -m {program}" in section("docs/operating.md", "Processes")


def spelled(field: FieldInfo) -> str:
    """A setting's default as one would write it into the environment."""
    if field.is_required():
        return "required"
    match field.default:
        case None | "" | () | SecretStr():
            return "empty"
        case timedelta() as length:
            return f"`{length.total_seconds():g}` s"
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case tuple() as several:
            return f"`{','.join(several)}`"
        case default:
            return f"`{default}`"


def test_operating_lists_every_setting_with_its_default() -> None:
    listed = {row[0]: row[1] for row in rows(section("docs/operating.md", "Settings"))}

    assert listed == {f"`TENANTRY_{name.upper()}`": spelled(field) for name, field in Settings.model_fields.items()}


def test_the_documents_name_no_setting_that_does_not_exist() -> None:
    known = {f"TENANTRY_{name.upper()}" for name in Settings.model_fields}
    known |= {"TENANTRY_TEST_DATABASE_URL", "TENANTRY_TEST_REDIS_URL", "TENANTRY_CONFORMANCE", "TENANTRY_"}

    named = {name for document in DOCUMENTS for name in re.findall(r"TENANTRY_[A-Z_]*", document.read_text())}

    assert named - known == set()


def test_the_audit_feed_documents_every_type_of_event() -> None:
    listed = [name for row in rows(section("docs/audit-feed.md", "Types")) for name in words(row[0])]

    assert sorted(listed) == sorted(event_type.value for event_type in EventType)


def test_lifecycle_draws_exactly_the_legal_arrows_of_tenants() -> None:
    legal = {(before.value, after.value) for before, afters in LEGAL.items() for after in afters}

    drawn = arrows("docs/lifecycle.md", "Tenant states")

    assert drawn - {("", TenantState.PENDING.value)} == legal


@pytest.mark.parametrize(
    ("heading", "statuses"),
    [("Run statuses", RunStatus), ("Step statuses", StepStatus), ("Resource statuses", ResourceStatus)],
)
def test_lifecycle_leads_to_every_status(heading: str, statuses: type[StrEnum]) -> None:
    drawn = arrows("docs/lifecycle.md", heading)

    assert {after for _, after in drawn} == {status.value for status in statuses}
    assert {before for before, _ in drawn} <= {status.value for status in statuses} | {""}


def test_saga_lists_the_steps_in_running_order() -> None:
    listed = [words(row[1])[0] for row in rows(section("docs/saga.md", "The steps"))]

    assert listed == [step.name for step in saga]


def test_saga_gives_each_step_its_time_and_its_attempts() -> None:
    listed = [(row[4], row[5]) for row in rows(section("docs/saga.md", "The steps"))]

    assert listed == [(f"{step.timeout.total_seconds():g} s", str(step.attempts)) for step in saga]


def test_the_api_document_lists_every_page_of_its_own() -> None:
    pages = sorted(f"api/{page.name}" for page in (ROOT / "docs" / "api").glob("*.md"))

    assert [page for page in pages if f"]({page})" not in text_of("docs/api.md")] == []


def operations() -> list[str]:
    """Every GraphQL document that docs/api.md sends, as it arrives."""
    text = text_of("docs/api.md")
    quoted = re.findall(r"^(?:ID=\$\()?ask '([^']+)'", text, re.MULTILINE)
    expanded = re.findall(r'^ask "(.+?)"$', text, re.MULTILINE | re.DOTALL)
    watched = re.findall(r'^WATCH = """(.+?)"""', text, re.MULTILINE | re.DOTALL)
    return [*quoted, *(one.replace("\\", "") for one in expanded), *watched]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(text_of("schema/schema.graphql"))


@pytest.mark.parametrize("operation", operations(), ids=lambda text: " ".join(text.split())[:60])
def test_what_the_api_document_sends_is_valid(operation: str, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(operation)) == []


def test_the_api_document_sends_something() -> None:
    assert len(operations()) == 14


@pytest.mark.parametrize(
    ("heading", "options"), [("Refusals and errors", UserErrorCode), ("Watching", ProvisioningEventKind)]
)
def test_the_api_document_explains_every_value(heading: str, options: type[StrEnum]) -> None:
    explained = {word for row in rows(section("docs/api.md", heading)) for word in words(row[0])}

    assert {option.value for option in options} <= explained


def test_the_api_document_names_every_scope() -> None:
    named = {word for row in rows(section("docs/api.md", "Tokens")) for word in words(row[1])}

    assert named == SCOPES


def test_the_api_document_explains_every_code_of_an_error() -> None:
    explained = {word for row in rows(section("docs/api.md", "Refusals and errors")) for word in words(row[0])}
    refusals = {RequestRefused.code} | {refusal.code for refusal in RequestRefused.__subclasses__()}

    assert RateLimited.code in refusals
    assert refusals | {AWAY, INTERNAL} <= explained
