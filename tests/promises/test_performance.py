"""docs/performance.md shows the committed figures, in its tables and in its pictures."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.rounds import PARTS, STEPS
from tests.promises.differences import demand_none, place

PICTURES = ("steps", "cpu", "latency")


def picture(name: str) -> Path:
    return report.IMAGES / f"performance-{name}.svg"


def test_the_tables_are_those_of_the_committed_figures() -> None:
    text = report.DOCUMENT.read_text()

    assert report.with_tables(text, report.committed()) == text


def test_the_committed_figures_are_of_a_complete_run_with_fsync() -> None:
    figures = report.committed()

    assert figures["machine"]["fsync"] == "on"
    assert figures["throughput"].keys() == figures["counts"].keys() == report.NAMES.keys()
    assert figures["latency"].keys() == {"idle", "loaded"}
    assert {"load", "idle", "waiting", "recovery", "ratios"} <= figures.keys()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_shown_and_has_no_script(name: str) -> None:
    assert f"(images/{picture(name).name})" in report.DOCUMENT.read_text()
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", picture(name).read_text())


def test_the_picture_of_the_steps_shows_the_committed_medians() -> None:
    demand_none(missing_medians())


def missing_medians() -> Iterator[str]:
    shown = picture("steps").read_text()
    for name, figures in report.committed()["throughput"].items():
        median = report.number(figures["steps_per_second"]["median"])
        if f": {median}</text>" not in shown:
            yield f"{place(picture('steps'))}: expected the median of {name}, {median}"


def test_the_document_has_caveats_for_the_command_to_print() -> None:
    caveats = report.caveats()

    assert len(caveats) >= 5
    assert all(caveat.endswith(".") for caveat in caveats)


def test_parts_that_measure_steps_are_parts_of_a_run() -> None:
    assert STEPS.items() <= PARTS.items()
