"""The tables of docs/performance.md, made from the figures of one run."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput import PEER_PYTHON
from runtime.programs import ROOT

RESULTS = ROOT / "benchmarks" / "results.json"
DOCUMENT = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"

BEGIN, END = "<!-- make bench writes what follows -->", "<!-- make bench wrote what precedes -->"

ENOUGH_ROUNDS = 5

PRELIMINARY = "**These figures are preliminary:** of fewer than five rounds, or of a machine that did other work."

NAMES = {
    "forward": "**Tenantry, forward**",
    "undo": "**Tenantry, undo**",
    "dbos": "DBOS Transact",
    "durable": "smallest durable chain",
    "bare": "bare Dramatiq chain, nothing durable",
    "kept": "a worker keeps its run, one statement a step",
}

STANDING = {
    "cpu_percent": "processor, of one core, %",
    "commands_per_second": "commands to the broker, 1/s",
    "statements_per_second": "statements to Postgres, 1/s",
    "commits_per_second": "commits, 1/s",
    "worker_megabytes": "memory of a worker (RSS), MB",
    "api_megabytes": "memory of an API process after its start (RSS), MB",
}

WAITING = {
    "runs": "runs",
    "looks_per_second": "looks, 1/s",
    "late_percent_p50": "a look is late by, median, % of the time asked for",
    "late_percent_p99": "the same, 99th percentile",
    "worker_cpu_percent": "processor of both workers, of one core, %",
    "postgres_cpu_percent": "processor of Postgres, of one core, %",
}

LOAD = {
    "in_flight": "sagas in flight",
    "stale_messages_percent": "messages that found nothing to claim, %",
}


def publish(figures: Mapping[str, Any]) -> None:
    """Write the figures, their plots, and the tables into the document."""
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), figures))
    plots = [str(PEER_PYTHON), "-P", str(ROOT / "benchmarks" / "plots.py"), str(RESULTS), str(IMAGES)]
    subprocess.run(plots, check=True, timeout=60)


def committed() -> dict[str, Any]:
    """The figures in the repository."""
    figures: dict[str, Any] = json.loads(RESULTS.read_text())
    return figures


def caveats() -> list[str]:
    """What the document says against its own figures."""
    section = DOCUMENT.read_text().partition("## Caveats\n")[2].partition("\n## ")[0]
    return [" ".join(item.split()) for item in section.split("\n- ")[1:]]


def with_tables(document: str, figures: Mapping[str, Any]) -> str:
    """The document with the tables of these figures instead of its own."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(figures)}\n{END}{after}"


def tables(figures: Mapping[str, Any]) -> str:
    """All tables of the figures that were measured, as Markdown."""
    sections = [
        _conditions(figures),
        _throughput(figures),
        _ratios(figures),
        _latencies(figures),
        _plain("With sagas in flight", "load", LOAD, figures),
        _plain("Waiting runs", "waiting", WAITING, figures),
        _plain("An idle worker", "idle", STANDING, figures),
    ]
    return "\n".join(line for section in sections for line in section)


def _conditions(figures: Mapping[str, Any]) -> Iterator[str]:
    machine = figures["machine"]
    yield (
        f"Measured on {machine['date']} at commit {machine['commit']}: {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, Python {machine['python']}, PostgreSQL {machine['server_version']}, "
        f"Valkey {machine['valkey']}, Dramatiq {machine['dramatiq']}; fsync {machine['fsync']}, "
        f"synchronous_commit {machine['synchronous_commit']}, an fsync takes {machine['fsync_ms']} ms; "
        f"rounds: {figures['rounds']}, sagas of a measurement: {figures['sagas']}, load average before: "
        f"{machine['load_before']}."
    )
    yield ""
    if figures["rounds"] < ENOUGH_ROUNDS or machine["load_before"] > machine["cores"] / 2:
        yield from (PRELIMINARY, "")


def _throughput(figures: Mapping[str, Any]) -> Iterator[str]:
    measured = figures.get("throughput", {})
    if not measured:
        return
    yield from _heading("Steps", ["what", "steps/s", "worker CPU, ms", "Postgres CPU, ms", "statements", "commits"])
    for name, label in NAMES.items():
        if name in measured:
            one, counts = measured[name], figures.get("counts", {}).get(name, {})
            cells = [
                label,
                _spread(one["steps_per_second"]),
                _spread(one["workers_cpu_ms"]),
                _spread(one["postgres_cpu_ms"]),
                *(f"{counts[what]:.1f}" if what in counts else "" for what in ("statements", "commits")),
            ]
            yield _row(cells)
    yield ""


def _ratios(figures: Mapping[str, Any]) -> Iterator[str]:
    if figures.get("ratios"):
        yield from _heading("Ratios", ["ratio", "median of the rounds"])
        yield from (_row([name, _spread(value)]) for name, value in figures["ratios"].items())
        yield ""


def _latencies(figures: Mapping[str, Any]) -> Iterator[str]:
    rows = [(what, load, one) for load, each in figures.get("latency", {}).items() for what, one in each.items()]
    if recovery := figures.get("recovery"):
        rows.append(("worker killed to next worker in the step", "default lease", recovery))
    if rows:
        yield from _heading("Latency", ["what", "when", "p50, ms", "p99, ms", "medians of the rounds", "samples"])
        for what, load, one in sorted(rows):
            spread = f"{number(one['low'])} to {number(one['high'])}"
            yield _row([what, load, number(one["p50"]), number(one["p99"]), spread, str(one["samples"])])
        yield ""


def _plain(title: str, key: str, labels: Mapping[str, str], figures: Mapping[str, Any]) -> Iterator[str]:
    if key in figures:
        yield from _heading(title, ["what", "median of the rounds"])
        yield from (_row([label, _spread(figures[key][name])]) for name, label in labels.items())
        yield ""


def _heading(title: str, columns: Sequence[str]) -> Iterator[str]:
    yield from (f"### {title}", "", _row(columns), "|" + "---|" * len(columns))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(one: Mapping[str, float]) -> str:
    if one["low"] == one["high"]:
        return number(one["median"])
    return f"{number(one['median'])} ({number(one['low'])} to {number(one['high'])})"


def number(value: float) -> str:
    """Three digits are more than the figures are worth."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def written(path: Path) -> str:
    """The path as a developer would type it."""
    return str(path.relative_to(ROOT))
