"""The demonstration of the product, in a temporary directory."""

import json
import os

from devserver import directories
from devserver.client import Client
from devserver.demo_scenario import DemoScenario
from devserver.development import Running, stoppable, up
from devserver.errors import DevserverError
from devserver.options import HOST, Options
from devserver.terminal_view import TerminalView

PACE = 1.0
BUDGET = 1.0
"""Seconds that the step in flight may take to its safe point, and again that the rest of the cancel may take."""


def run(pace: float, budget: float) -> int:
    """Return 0 only if every check passed. Raises DevserverError when the product does not start."""
    _forget_settings()
    with stoppable(), directories.temporary() as folder:
        view = TerminalView()
        view.console.print("Starting the product in a temporary directory…")
        with up(Options(data=folder, port=0, pace=pace)) as running:
            return _play(running, view, budget)


def _forget_settings() -> None:
    """Ignore exported settings, which may name another database: the demonstration has its own servers."""
    for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
        del os.environ[name]


def _play(running: Running, view: TerminalView, budget: float) -> int:
    tokens = json.loads((running.options.data / "tokens.json").read_text())
    client = Client(HOST, running.options.port, tokens["acme"]["owner"])
    scenario = DemoScenario(client, view, os.environ["TENANTRY_DATABASE_URL"], running.options.data / "mails", budget)
    try:
        with view:
            scenario.play()
    except DevserverError as error:
        scenario.checks.add("The demonstration reached its end", passed=False, figures=error)
    view.console.print()
    view.console.print(scenario.checks.table())
    return 0 if scenario.checks.all_passed else 1
