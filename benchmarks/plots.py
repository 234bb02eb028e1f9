"""Draws the plots of docs/performance.md: ``plots.py RESULTS FOLDER``, in the Python that has pygal (.bench).

It imports nothing of the product. The same figures give the same bytes.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pygal
from pygal.style import Style

NAMES = {
    "kept": "kept run, one statement",
    "bare": "bare Dramatiq, not durable",
    "durable": "smallest durable chain",
    "dbos": "DBOS Transact",
    "undo": "Tenantry, undo",
    "forward": "Tenantry, forward",
}

LATENCIES = {
    "createTenant": "createTenant",
    "answered to first step": "answered to first step",
    "cancel to step told": "cancel to step told",
    "cancel to PENDING, six steps undone": "cancel to PENDING",
}

SHORTEST = 1.0
"""Milliseconds: shorter bars are drawn as long as this."""

NAMESPACE = "http://www.w3.org/2000/svg"

INK = """
    .graph, .title, .legends .legend text, .axis text, .axis text.major, .series text, .text-overlay text
    { fill: #1f2328 !important; }
    .axis .line, .axis .guide.line { stroke: #8c959f !important; }
    .ci { stroke: #1f2328 !important; }
    .text-overlay text { text-anchor: start !important; transform: translateX(6px); }
    @media (prefers-color-scheme: dark) {
        .graph, .title, .legends .legend text, .axis text, .axis text.major, .series text, .text-overlay text
        { fill: #e6edf3 !important; }
        .ci { stroke: #e6edf3 !important; }
    }
"""
"""The browser's scheme chooses the colour of the text; the bars are readable on both backgrounds."""

STYLE = Style(
    background="transparent",
    plot_background="transparent",
    font_family="system-ui, sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=13,
    value_label_font_size=13,
    legend_font_size=13,
    title_font_size=16,
    colors=("#2f81f7", "#d4781c", "#8250df", "#6e7781"),
    opacity=".9",
    transition="0s",
)


def main(results: Path, folder: Path) -> None:
    """Draw all plots of the figures that were measured."""
    figures = json.loads(results.read_text())
    for name, chart in plots(figures):
        (folder / f"performance-{name}.svg").write_bytes(drawn(chart))


def plots(figures: Mapping[str, Any]) -> Iterator[tuple[str, pygal.Graph]]:
    """Each plot with its name."""
    if measured := figures.get("throughput"):
        yield "steps", steps_per_second(measured)
        yield "cpu", processor_time(measured)
    if latencies := figures.get("latency"):
        yield "latency", cancel_and_start(latencies)


def steps_per_second(measured: Mapping[str, Any]) -> pygal.Graph:
    """Bars with the least and the greatest round."""
    figures = {name: measured[name]["steps_per_second"] for name in NAMES if name in measured}
    chart = bars(
        "Steps per second, two worker processes: median, least and greatest round",
        [f"{NAMES[name]}: {number(one['median'])}" for name, one in figures.items()],
        height=120 + 46 * len(figures),
        show_legend=False,
        range=(0, 1.02 * max(one["high"] for one in figures.values())),
    )
    chart.add("steps/s", [with_spread(one) for one in figures.values()])
    return chart


def processor_time(measured: Mapping[str, Any]) -> pygal.Graph:
    """Where the time of a step is spent."""
    groups = {"workers": "workers", "postgres": "Postgres", "valkey": "Valkey"}
    names = [name for name in NAMES if name in measured]
    times = {group: [measured[name][f"{group}_cpu_ms"]["median"] for name in names] for group in groups}
    chart = bars(
        "Processor time of a step, ms: median",
        [
            f"{NAMES[name]}: {number(sum(each))}"
            for name, each in zip(names, zip(*times.values(), strict=True), strict=True)
        ],
        height=150 + 46 * len(names),
        kind=pygal.HorizontalStackedBar,
    )
    for group, label in groups.items():
        chart.add(label, times[group])
    return chart


def cancel_and_start(latencies: Mapping[str, Any]) -> pygal.Graph:
    """Median and 99th percentile of what a caller waits for, on a logarithmic scale."""
    names = [name for name in reversed(LATENCIES) if any(name in each for each in latencies.values())]
    series = {
        f"{label}, {part}": [latencies.get(load, {}).get(name, {}).get(part) for name in names]
        for load, label in (("idle", "idle"), ("loaded", "200 in flight"))
        for part in ("p50", "p99")
    }
    longest = max(value for values in series.values() for value in values if value)
    chart = bars(
        "What a caller waits for, ms, logarithmic",
        [LATENCIES[name] for name in names],
        height=150 + 96 * len(names),
        logarithmic=True,
        range=(SHORTEST, 3 * longest),
        zero=SHORTEST,
        truncate_legend=-1,
        print_values=True,
        print_values_position="top",
    )
    chart.y_labels = [power for power in (1, 10, 100, 1000, 10_000, 100_000) if power < 3 * longest]
    for label, values in series.items():
        chart.add(label, [value and max(value, SHORTEST) for value in values])
    return chart


def bars(
    title: str, labels: Sequence[str], *, kind: type[pygal.Graph] = pygal.HorizontalBar, **options: object
) -> pygal.Graph:
    """A chart of horizontal bars."""
    chart = kind(
        title=title,
        style=STYLE,
        css=("file://style.css", "file://graph.css", f"inline:{INK}"),
        js=(),
        no_prefix=True,
        value_formatter=number,
        width=860,
        legend_at_bottom=True,
        legend_at_bottom_columns=4,
        **options,
    )
    chart.x_labels = labels
    return chart


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def with_spread(one: Mapping[str, float]) -> dict[str, Any]:
    """A bar as long as the median, with a line from the least to the greatest round."""
    return {"value": one["median"], "ci": {"low": one["low"], "high": one["high"]}}


def drawn(chart: pygal.Graph) -> bytes:
    """The chart without scripts and comments: a picture needs no script, and one comment is the date."""
    root = ET.fromstring(chart.render())  # noqa: S314  # our own text; the parser drops comments
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == f"{{{NAMESPACE}}}script"]:
            parent.remove(child)
    ET.register_namespace("", NAMESPACE)
    return bytes(ET.tostring(root, encoding="utf-8")) + b"\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
