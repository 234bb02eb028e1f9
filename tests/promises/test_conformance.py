"""docs/conformance.md shows the whole manifest: each scenario with the protection that it proves."""

import re

import pytest

from runtime.migrations import ROOT
from tests.conformance.command_line import run
from tests.conformance.field import mutants, scenarios
from tests.conformance.field.scenario import MANIFEST

PUBLISHED = """
    cancel_queued_run cancel_before_each_step cancel_inside_each_step cancel_uninterruptible_step_reports_waiting
    cancel_race_mark_active_10k cancel_after_active_refused_typed cancel_twice_parallel cancel_during_each_compensation
    cancel_with_killed_worker cancel_with_paused_worker_resumed_late cancel_with_redis_down cancel_then_redis_flush
    cancel_with_lost_fetch_reply cancel_across_postgres_restart cancel_with_skewed_clocks cancel_with_poison_step
    cancel_api_crash_after_commit cancel_during_rolling_deploy_new_step_list compensation_fails_then_resume_and_skip
    retry_while_cancelling_refused retry_same_slug_after_cancel stale_cancel_for_old_run_refused bulk_cancel_2000
    deadline_auto_cancel cross_org_cancel_denied_and_audited spoofed_actor_rejected audit_exactly_once_with_who_why
    subscription_resume_gap_free_over_cancel nothing_held_after_settling_time welcome_mail_never_for_cancelled
"""
"""The ids under which publications may cite a scenario: they are never renamed."""

DOCUMENT = (ROOT / "docs" / "conformance.md").read_text()


@pytest.fixture(scope="module", autouse=True)
def _scenarios_and_mutants_are_loaded() -> None:
    scenarios.load()
    mutants.load()


def test_every_published_scenario_is_in_the_manifest() -> None:
    assert sorted(set(PUBLISHED.split()) - set(MANIFEST)) == []


def test_every_scenario_says_in_a_sentence_what_it_shows() -> None:
    silent = [one.id for one in MANIFEST.values() if not (one.run.__doc__ or "").strip().endswith(".")]

    assert silent == []


def test_every_scenario_names_a_protection_that_can_be_taken_away() -> None:
    assert {one.id: one.mutants for one in MANIFEST.values() if not set(one.mutants) <= set(mutants.ALL)} == {}


def rows_of(table: str) -> dict[str, str]:
    """The result of each row of a table in the document, by the row's name."""
    text = DOCUMENT.split(f"<!-- {table} -->", 1)[1].split(f"<!-- end of {table} -->", 1)[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (\w+) \|", text, re.MULTILINE))


def test_the_published_run_holds_every_scenario() -> None:
    rows = rows_of("table")

    assert set(MANIFEST) <= set(rows)
    assert set(rows.values()) == {"pass"}


def test_the_published_run_without_protections_needs_each_of_them() -> None:
    rows = rows_of("mutants")

    assert set(rows) == {f"without: {scenario_id}" for scenario_id in MANIFEST}
    assert set(rows.values()) == {"pass"}


def test_a_misspelt_scenario_is_refused_with_the_nearest_ids(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTRY_CONFORMANCE", "reduced")  # run() sets it for its own process

    with pytest.raises(SystemExit) as ended:
        run(["--only", "cancel_twise"])

    assert ended.value.code == 2
    assert "cancel_twice_parallel" in capsys.readouterr().err
