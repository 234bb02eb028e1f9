"""``make bench``: measures the engine in rounds, beside peers, with the cost of cancels, waiting and rest."""

import argparse
from collections.abc import Callable, Sequence

from benchmarks import (
    api,
    cancel,
    export,
    fairness,
    groups,
    growth,
    hostile,
    log_lines,
    moves,
    report,
    summary,
    watchers,
)
from benchmarks.rounds import PARTS, STEPS, measure
from benchmarks.servers import production_servers
from runtime.programs import Parser
from runtime.settings import Settings, read_settings

ROUNDS, ROUNDS_OF_CHECK = report.ENOUGH_ROUNDS, 3

SEPARATE: dict[str, Callable[[Settings, int], None]] = {
    "moves": moves.run,
    "groups": groups.run,
    "cancel": cancel.run,
    "export": export.run,
    "api": api.run,
    "growth": growth.run,
    "log-lines": log_lines.run,
    "hostile": hostile.run,
    "watchers": watchers.run,
    "fairness": fairness.run,
}
"""Benchmarks of one aspect each. They run only when they are named, and print their figures."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Measure what was chosen, then write or compare the figures."""
    chosen = _parser().parse_args(arguments)
    names = chosen.only or list(STEPS if chosen.check else PARTS)
    for name in [name for name in names if name in SEPARATE]:
        _run_separately(name, chosen.samples)
    parts = [name for name in PARTS if name in names]
    if not parts:
        return 0
    rounds = chosen.rounds or (ROUNDS_OF_CHECK if chosen.check else ROUNDS)
    figures = measure(parts, rounds, chosen.sagas, chosen.waiting_runs)
    print(report.tables(figures))
    print("\n".join(f"- {caveat}" for caveat in report.caveats()))
    if chosen.check:
        return _compare(figures)
    if not chosen.only:
        report.publish(figures)
        print(f"\nWritten: {report.written(report.RESULTS)}, {report.written(report.DOCUMENT)} and its plots.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks",
        description="Measure the engine on embedded servers with fsync, beside DBOS Transact and the smallest chains. "
        "A complete run writes benchmarks/results.json, the tables of docs/performance.md and its plots; "
        "one with --only prints its figures.",
    )
    every = [*PARTS, *SEPARATE]
    parser.add_argument(
        "--only",
        nargs="+",
        choices=every,
        metavar="PART",
        help=f"measure these only: {', '.join(PARTS)}; or separately, with --samples: {', '.join(SEPARATE)}",
    )
    parser.add_argument("--rounds", type=_positive, help=f"rounds (default: {ROUNDS}; with --check {ROUNDS_OF_CHECK})")
    parser.add_argument("--sagas", type=_positive, default=200, help="sagas of one measurement (default: %(default)s)")
    parser.add_argument("--waiting-runs", type=_positive, default=2000, help="runs that wait (default: %(default)s)")
    parser.add_argument("--samples", type=_positive, default=40, help="samples per figure (default: %(default)s)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare the ratios with those of benchmarks/results.json: exit code 1 when one fell by more than a fifth",
    )
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number above zero, not {text}")
    return int(text)


def _run_separately(name: str, samples: int) -> None:
    with production_servers():
        print(f"\n{name}")
        SEPARATE[name](read_settings(), samples)


def _compare(figures: dict[str, dict[str, dict[str, float]]]) -> int:
    """Compare the ratios that were measured. Returns the exit code."""
    measured = figures["ratios"]
    expected = {name: ratio for name, ratio in report.committed()["ratios"].items() if name in measured}
    fallen = summary.fallen(measured, expected)
    print("\n".join(fallen) or f"\nNo ratio fell by more than a fifth: {len(expected)} compared.")
    return 1 if fallen else 0
