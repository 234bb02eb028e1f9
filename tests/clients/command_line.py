"""``python -m tests.clients``: run the tests of npm's GraphQL clients against the running product."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.running_product import product, require_node, run_command, show_failures

HERE = Path(__file__).parent
PACE = 0.3
"""Seconds by which every step is slowed, so that a client has time to watch, to lose its connection and to cancel."""

OPTIONS = ("--test-concurrency=3", "--test-force-exit")
"""Three files at once, because the tests mostly wait."""

REPORTERS = tuple(
    option
    for reporter in ("spec", "./failures.js")
    for option in (f"--test-reporter={reporter}", "--test-reporter-destination=stdout")
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Start the product in a temporary folder and run the tests; returns their exit code."""
    parser = argparse.ArgumentParser("python -m tests.clients", description=__doc__)
    parser.add_argument("files", nargs="*", help="test files, for example urql.test.js (default: all)")
    chosen = parser.parse_args(arguments)
    require_node("test-clients")
    return _run(chosen.files or sorted(path.name for path in HERE.glob("*.test.js")))


def _run(files: Sequence[str]) -> int:
    command = ["node", "--test", *OPTIONS, *REPORTERS, *files]
    with TemporaryDirectory() as folder:
        failures = Path(folder, "failures")
        failures.touch()
        with product("clients", PACE) as running:
            tokens = {"TOKEN": running.token("acme", "owner"), "OBSERVER": running.token("acme", "admin")}
            code = run_command(command, HERE, PRODUCT=running.address, FAILURES=str(failures), **tokens)
        show_failures(failures.read_text().splitlines())
    return code
