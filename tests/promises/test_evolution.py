"""The schema breaks no client of the last release: a field goes only after a year of deprecation."""

from datetime import UTC, date, datetime

import pytest

from schema import compatibility
from schema.compatibility import (
    COMMITTED,
    RELEASED,
    breaking_changes,
    deprecations_at_short_notice,
    deprecations_without_last_day,
)

OLD = """
type Query {
  tenants(first: Int = 20, state: State): [Tenant!]!
  region: String @deprecated(reason: "Ask tenants. Goes after 2027-11-27.")
}
type Tenant { slug: String! name: String }
enum State { ACTIVE PENDING }
input Request { slug: String! }
"""
BEFORE, AFTER = date(2027, 11, 27), date(2027, 11, 28)


def test_the_committed_schema_breaks_no_client_of_the_last_release() -> None:
    today = datetime.now(UTC).date()

    assert breaking_changes(RELEASED.read_text(), COMMITTED.read_text(), today) == []


def test_every_deprecation_names_its_last_day() -> None:
    assert deprecations_without_last_day(COMMITTED.read_text()) == []


def test_a_breaking_change_is_refused_with_what_it_breaks() -> None:
    breaking = {
        ("slug: String! name", "name"): "Field Tenant.slug was removed.",
        ("slug: String! name", "handle: String! name"): "Field Tenant.slug was removed.",
        ("slug: String! name", "slug: String name"): "Field Tenant.slug changed type from String! to String.",
        (", state: State", ""): "Argument Query.tenants(state:) was removed.",
        (", state: State", ", state: State!"): (
            "Argument Query.tenants(state:) has changed type from State to State!."
        ),
        ("Int = 20,", "Int = 20, last: Int!,"): "A required argument Query.tenants(last:) was added.",
        ("ACTIVE PENDING", "ACTIVE"): "Enum value State.PENDING was removed.",
        ("{ slug: String! }", "{ slug: String! why: String! }"): "A required field Request.why was added.",
        ("= 20", "= 50"): "Query.tenants(first:) has changed defaultValue from 20 to 50.",
    }

    assert {edit: changes_that_break(*edit) for edit in breaking} == {edit: [said] for edit, said in breaking.items()}


def test_an_addition_breaks_no_client() -> None:
    additions = [
        ("name: String", "name: String! plan: String"),
        ("ACTIVE PENDING", "ACTIVE PENDING FAILED"),
        (", state: State", ", state: State, last: Int"),
        ("{ slug: String! }", "{ slug: String! why: String }"),
    ]

    assert {edit: changes_that_break(*edit) for edit in additions} == {edit: [] for edit in additions}


def changes_that_break(old: str, new: str) -> list[str]:
    """What is said against the released schema when some of its text is replaced."""
    assert old in OLD
    return breaking_changes(OLD, OLD.replace(old, new, 1), BEFORE)


def test_a_deprecated_field_goes_after_its_last_day_and_not_before() -> None:
    gone = OLD.replace('region: String @deprecated(reason: "Ask tenants. Goes after 2027-11-27.")', "")

    assert breaking_changes(OLD, gone, BEFORE) == ["Field Query.region was removed."]
    assert breaking_changes(OLD, gone, AFTER) == []


def test_a_deprecation_without_a_day_or_with_less_than_a_year_is_reported() -> None:
    hurried = OLD.replace("name: String", 'name: String @deprecated(reason: "No. Goes after 2027-12-01.")')
    vague = OLD.replace("name: String", 'name: String @deprecated(reason: "Soon.")')

    assert deprecations_without_last_day(vague) == ["Soon."]
    assert deprecations_without_last_day(OLD.replace("name: String", "name: String @deprecated")) == [""]
    assert deprecations_at_short_notice(OLD, hurried, date(2026, 12, 2)) == ["No. Goes after 2027-12-01."]
    assert deprecations_at_short_notice(OLD, hurried, date(2026, 12, 1)) == []


def test_a_release_that_breaks_a_promise_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("schema")
    released, ours = folder / "released.graphql", folder / "schema.graphql"
    monkeypatch.setattr(compatibility, "RELEASED", released)
    monkeypatch.setattr(compatibility, "COMMITTED", ours)
    released.write_text(OLD)
    ours.write_text(OLD.replace("slug: String! name", "name"))

    assert compatibility.release() == 2
    assert capsys.readouterr().err == "Breaks clients of the last release: Field Tenant.slug was removed.\n"
    assert released.read_text() == OLD

    ours.write_text(OLD.replace("name: String", "name: String plan: String"))

    assert compatibility.release() == 0
    assert released.read_text() == ours.read_text()
