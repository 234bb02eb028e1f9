"""The documents list what the code has: settings, events, arrows, steps, scopes, codes and valid operations."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import StrEnum

from graphql import build_schema, parse, validate
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from access.permissions import SCOPES
from models import ResourceStatus, RunStatus, StepStatus, TenantState
from provisioning.event_types import EventType
from provisioning.lifecycle import TRANSITIONS
from provisioning.steps import saga
from runtime.migrations import ROOT
from runtime.settings import Settings
from schema.enums import ProvisioningEventKind, UserErrorCode
from schema.errors import RequestRefused
from server.graphql.error_masking import INTERNAL_SERVER_ERROR, SERVICE_UNAVAILABLE
from server.limits.rate_limit import RateLimited
from tests.promises.differences import compared, demand_none, line_at, place
from tests.promises.documents import Section, document, documents, quoted

SETTING = re.compile(r"TENANTRY_[A-Z_]*")
ONLY_FOR_TESTS = {"TENANTRY_TEST_DATABASE_URL", "TENANTRY_TEST_REDIS_URL", "TENANTRY_CONFORMANCE"}
ALL_OF_THEM = "TENANTRY_"
"""How a document names every setting at once: TENANTRY_*."""

AS_IT_IS = re.compile(r"""^(?:ID=\$\()?ask '([^']+)'|^WATCH = \"{3}(.+?)\"{3}""", re.MULTILINE | re.DOTALL)
SCOPE = re.compile(r"\b[a-z]+:[a-z-]+\b")
SCOPE_CHOICE = ROOT / "dashboard" / "app" / "people" / "scope-choice.tsx"
MEANINGS = re.compile(r"MEANINGS: .+?^\};", re.MULTILINE | re.DOTALL)
"""What each scope means, for the person who chooses those of a service account."""

EXPANDED = re.compile(r'^ask "(.+?)"$', re.MULTILINE | re.DOTALL)
"""How docs/api.md sends an operation: quoted as it is, or in quotes in which a shell takes backslashes away."""


def test_operating_lists_every_setting_with_its_default() -> None:
    settings = document("docs/operating.md").section("Settings")
    listed = {f"{row.cells[0]} = {row.cells[1]}": row.place for row in settings.rows()}
    ours = [f"`TENANTRY_{name.upper()}` = {spelled(field)}" for name, field in Settings.model_fields.items()]

    demand_none(compared(listed, ours, settings.place))


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


def test_the_documents_name_no_setting_that_does_not_exist() -> None:
    known = {f"TENANTRY_{name.upper()}" for name in Settings.model_fields} | ONLY_FOR_TESTS | {ALL_OF_THEM}

    demand_none(
        f"{where}: expected the name of a setting, found {found[0]}"
        for one in documents()
        for where, found in one.matches(SETTING)
        if found[0] not in known
    )


def test_the_audit_feed_documents_every_type_of_event_once() -> None:
    types = document("docs/audit-feed.md").section("Types")
    listed = [word for row in types.rows() for word in quoted(row.cells[0])]

    demand_none(compared(types.words(), [event_type.value for event_type in EventType], types.place))
    assert len(listed) == len(set(listed))


def test_lifecycle_draws_exactly_the_legal_arrows_of_tenants() -> None:
    states = document("docs/lifecycle.md").section("Tenant states")
    begins = arrow("", TenantState.PENDING)
    legal = [arrow(before, after) for before, afters in TRANSITIONS.items() for after in afters]
    drawn = {drawing: where for drawing, where in arrows(states).items() if drawing != begins}

    demand_none(compared(drawn, legal, states.place))


def test_lifecycle_lists_every_status_and_no_other() -> None:
    demand_none(
        [
            *wrong_with_statuses("Run statuses", RunStatus),
            *wrong_with_statuses("Step statuses", StepStatus),
            *wrong_with_statuses("Resource statuses", ResourceStatus),
        ]
    )


def wrong_with_statuses(heading: str, statuses: type[StrEnum]) -> Iterator[str]:
    section = document("docs/lifecycle.md").section(heading)
    names = [status.value for status in statuses]
    yield from compared(section.words(1), names, section.place)
    yield from (
        f"{where}: expected no arrow from {before}" for before, where in section.words(0).items() if before not in names
    )


def arrows(section: Section) -> dict[str, str]:
    """Every arrow in a section's table, with its place. A cell without a name is the beginning."""
    return {
        arrow(before, after): row.place
        for row in section.rows()
        for before in quoted(row.cells[0]) or [""]
        for after in quoted(row.cells[1])
    }


def arrow(before: str, after: str) -> str:
    return f"{before or 'the beginning'} → {after}"


def test_saga_lists_the_steps_in_running_order_with_their_time_and_attempts() -> None:
    rows = document("docs/saga.md").section("The steps").rows()
    listed = [(quoted(row.cells[1])[0], row.cells[4], row.cells[5]) for row in rows]
    ours = [(step.name, f"{step.timeout.total_seconds():g} s", str(step.attempts)) for step in saga]

    demand_none(
        f"{row.place}: expected {expected}, found {found}"
        for row, found, expected in zip(rows, listed, ours, strict=False)
        if found != expected
    )
    assert listed == ours


def test_the_dashboard_document_lists_every_page_once() -> None:
    pages = document("docs/dashboard.md").section("Pages")
    listed = {re.sub(r"<\w+>", ":key", quoted(row.cells[0])[0]): row.place for row in pages.rows()}
    routes = re.findall(r'<Route path="(/[^"]+)"', (ROOT / "dashboard/app/app.tsx").read_text())

    demand_none(compared(listed, routes, pages.place))


def test_every_operation_in_the_api_document_is_valid() -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    api = document("docs/api.md")
    sent = [(where, found[1] or found[2]) for where, found in api.matches(AS_IT_IS)]
    sent += [(where, found[1].replace("\\", "")) for where, found in api.matches(EXPANDED)]

    demand_none(
        f"{where}: expected a valid operation: {error.message}"
        for where, operation in sent
        for error in validate(schema, parse(operation))
    )
    assert len(sent) == 15


def test_every_scope_code_and_kind_of_event_is_explained() -> None:
    tokens, refusals, watching = (
        document("docs/api.md").section(heading) for heading in ("Tokens", "Refusals and errors", "Watching")
    )
    codes = {RequestRefused.code, SERVICE_UNAVAILABLE, INTERNAL_SERVER_ERROR}
    codes |= {refusal.code for refusal in RequestRefused.__subclasses__()}

    assert RateLimited.code in codes
    demand_none(
        [
            *compared(tokens.words(1), sorted(SCOPES), tokens.place),
            *compared(meanings(), sorted(SCOPES), place(SCOPE_CHOICE)),
            *unexplained(refusals, UserErrorCode),
            *unexplained(refusals, sorted(codes)),
            *unexplained(watching, ProvisioningEventKind),
        ]
    )


def meanings() -> dict[str, str]:
    """Each scope that the dashboard explains, with its place."""
    text = SCOPE_CHOICE.read_text()
    found = MEANINGS.search(text)
    assert found
    return {
        scope[0]: place(SCOPE_CHOICE, line_at(text, found.start() + scope.start()))
        for scope in SCOPE.finditer(found[0])
    }


def unexplained(section: Section, values: Iterable[str]) -> Iterator[str]:
    explained = section.words()
    return (f"{section.place}: expected a row for {value}" for value in values if value not in explained)
