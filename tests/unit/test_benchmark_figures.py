"""The figures of make bench: what is counted, summarised, compared and written."""

from datetime import timedelta
from typing import Any, cast
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import command_line, report, summary
from benchmarks.servers import Statements
from benchmarks.waiting import ASKED_INTERVAL
from benchmarks.world import WAITING, FactFile, InstantWorld
from models.columns import new_id
from provisioning.resource_names import ResourceNames
from provisioning.saga import NotYet
from provisioning.step_context import Journal, StepContext, TenantFacts
from provisioning.steps import saga

EXECUTE = "7 tenantry-worker|LOG:  execute _pg3_1: "
STATEMENT = "7 tenantry-worker|LOG:  statement: "


@pytest.mark.parametrize(
    ("log", "statements", "commits"),
    [
        ("", 0, 0),
        (f"{STATEMENT}BEGIN\n{EXECUTE}UPDATE runs\n\tSET x = 1\n{STATEMENT}COMMIT\n", 1, 1),
        (f"{STATEMENT}BEGIN\n{EXECUTE}SELECT 1\n{EXECUTE}SELECT 2\n{STATEMENT}ROLLBACK\n", 2, 0),
        (f"{EXECUTE}UPDATE runs\n{EXECUTE}SELECT 1\n", 2, 2),
        (f"7 a|DETAIL:  Parameters: $1 = '3 '\n{STATEMENT}BEGIN\n{EXECUTE}SELECT $1\n{STATEMENT}COMMIT\n", 1, 1),
        (f"{STATEMENT}BEGIN\n8 other|LOG:  statement: SELECT 1\n{STATEMENT}COMMIT\n", 1, 2),
        (f"{STATEMENT}BEGIN\n{STATEMENT}ROLLBACK TO SAVEPOINT s\n{EXECUTE}SELECT 1\n{STATEMENT}COMMIT\n", 2, 1),
        (f"{STATEMENT}begin read only;\n{EXECUTE}WITH a AS (SELECT 1) SELECT 1\n{STATEMENT}commit;\n", 1, 1),
        ("7 bench|LOG:  statement: SELECT 1\n9 |LOG:  checkpoint starting: time\n", 0, 0),
    ],
)
def test_statements_and_commits_are_counted_in_the_log(log: str, statements: int, commits: int) -> None:
    counted = Statements()

    counted.read(log)

    assert (counted.statements, counted.commits) == (statements, commits)


@given(st.floats(0.01, 100), st.floats(0, 2))
def test_a_ratio_fails_when_it_fell_by_more_than_a_fifth(committed: float, part: float) -> None:
    measured = {"undo / forward": {"median": committed * part}}

    fallen = summary.fallen(measured, {"undo / forward": {"median": committed}})

    assert [sentence.partition(" fell ")[0] for sentence in fallen] == (["undo / forward"] if part < 0.8 else [])


def test_a_ratio_that_was_not_measured_again_is_an_error() -> None:
    with pytest.raises(KeyError):
        summary.fallen({}, {"undo / forward": {"median": 1.0}})


def test_ratios_compare_measurements_of_the_same_round() -> None:
    forward, undo = [100.0, 200.0, 50.0], [50.0, 50.0, 40.0]
    throughput = {
        name: [{"steps_per_second": steps, "workers_cpu_ms": 1.0} for steps in rounds]
        for name, rounds in {"forward": forward, "undo": undo}.items()
    }

    assert summary.ratios(throughput) == {"undo / forward": {"median": 0.5, "low": 0.25, "high": 0.8}}


@pytest.mark.parametrize(("figure", "pairs"), [("steps", summary.RATIOS), ("processor time", summary.CPU_RATIOS)])
def test_every_ratio_names_what_the_tables_show(figure: str, pairs: dict[str, tuple[str, str]]) -> None:
    assert {name for pair in pairs.values() for name in pair} <= report.NAMES.keys(), figure


@given(st.lists(st.lists(st.floats(0, 1000), min_size=1), min_size=1, max_size=5))
def test_a_latency_is_of_all_samples_with_the_spread_of_the_rounds(rounds: list[list[float]]) -> None:
    figure = summary.latency(rounds)

    assert figure["samples"] == sum(map(len, rounds))
    assert figure["low"] <= figure["high"]
    assert figure["p50"] <= figure["p99"] <= round(max(map(max, rounds)), 2)


def test_the_tables_replace_those_of_the_last_run_and_nothing_else() -> None:
    figures: dict[str, Any] = {"machine": dict.fromkeys(MACHINE, 1), "rounds": 5, "sagas": 200}
    written = f"# Title\n\n{report.BEGIN}\n\nold\n{report.END}\n\n## After\n"

    once = report.with_tables(written, figures | {"ratios": {"a / b": {"median": 0.5, "low": 0.25, "high": 1234.5}}})

    assert "old" not in once
    assert "| a / b | 0.5 (0.25 to 1,234) |" in once
    assert once.startswith("# Title\n\n")
    assert once.endswith("\n\n## After\n")
    assert report.with_tables(once, figures) == report.with_tables(written, figures)


@pytest.mark.parametrize(("rounds", "load", "preliminary"), [(5, 0.5, False), (4, 0.5, True), (5, 1.5, True)])
def test_figures_of_few_rounds_or_of_a_busy_machine_are_called_preliminary(
    rounds: int, load: float, *, preliminary: bool
) -> None:
    machine = dict.fromkeys(MACHINE, "x") | {"cores": 2, "load_before": load}

    tables = report.tables({"machine": machine, "rounds": rounds, "sagas": 200})

    assert (report.PRELIMINARY in tables) is preliminary


MACHINE = (
    *("date", "commit", "cores", "memory_gib", "python", "server_version", "valkey", "dramatiq"),
    *("fsync", "synchronous_commit", "fsync_ms", "load_before"),
)


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--rounds", "0"], ["--sagas", "-1"], ["--samples", "x"]])
def test_an_option_that_cannot_be_meant_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command_line.run(arguments)

    assert refused.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_a_waiting_run_asks_for_the_interval_that_lateness_is_measured_by(tmp_path: Any) -> None:
    facts = FactFile(tmp_path / "facts")
    names = ResourceNames(new_id(), f"{WAITING}-1-bench", 1)
    world = InstantWorld(facts, holds=False)

    outcome = saga["await_readiness"].action(
        StepContext(world, names, cast("TenantFacts", None), 1, cast("Journal", Mock()))
    )

    assert outcome == NotYet(after=timedelta(seconds=ASKED_INTERVAL))
    assert [(fact.what, fact.subject) for fact in facts.read()] == [("looked", "waiting-1-bench")]
