"""``python -m tests.dashboard``: let people at browsers use the dashboard of the running product."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from devserver.refusal import Refused
from tests.dashboard.provider import CLIENT_ID, letting_in
from tests.identity_provider import AUDIENCE
from tests.running import Product, demand_node, product, run, show_failures

DASHBOARD = Path(__file__).resolve().parents[2] / "dashboard"
CHROMIUM = "/usr/bin/chromium"
PACE = 0.7
"""Seconds that every step takes longer: a person has time to watch it and to cancel."""

BUDGET = "100000"
"""Points: one person of the tests does in a minute what a person does in an hour."""

STORY, PRODUCT, PROVIDER, SCREENSHOTS = "story", "product", "provider", "screenshots"
"""The projects of dashboard/playwright.config.ts. The story measures, so that nothing else goes on beside it."""

TESTS = (STORY, PRODUCT, PROVIDER)
PLAYWRIGHT = ("node", "node_modules/@playwright/test/cli.js", "test")
REPORTERS = "--reporter=list,json"
EPILOG = "What is not listed here goes to Playwright, for example: race.spec.ts, or -g 'sees the undo'."


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the product up in a place of its own and open browsers on it; the answer is the tests' exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.dashboard", description=__doc__, epilog=EPILOG, allow_abbrev=False
    )
    parser.add_argument("--screenshots", action="store_true", help="take the documents' pictures instead")
    chosen, passed_on = parser.parse_known_args(arguments)
    try:
        demand_node("test-dashboard")
        _demand_browser()
        projects = [SCREENSHOTS] if chosen.screenshots else _having(passed_on)
        with TemporaryDirectory() as folder:
            codes = list(_codes(projects, passed_on, Path(folder)))
            show_failures([failed for project in projects for failed in _failed(Path(folder, project))])
    except Refused as refusal:
        raise SystemExit(str(refusal)) from None
    return next((code for code in codes if code), 0)


def _demand_browser() -> None:
    """Raise Refused where there is none: here a browser is not one client among others, it is what is tested."""
    if not Path(os.environ.get("CHROMIUM") or CHROMIUM).exists():
        raise Refused(
            "There is no browser here: install one with apt-get install chromium, or name yours with CHROMIUM=path."
        )


def _having(passed_on: Sequence[str]) -> Sequence[str]:
    """The projects that have such tests; where none has, one that says so."""
    if not passed_on:
        return TESTS
    return [project for project in TESTS if _lists_some(project, passed_on)] or [PRODUCT]


def _lists_some(project: str, passed_on: Sequence[str]) -> bool:
    command = [*PLAYWRIGHT, "--list", f"--project={project}", *passed_on]
    return subprocess.run(command, cwd=DASHBOARD, capture_output=True, check=False).returncode == 0


def _codes(projects: Sequence[str], passed_on: Sequence[str], reports: Path) -> Iterator[int]:
    """Play them on one product, and those for whom people sign in elsewhere on another."""
    if here := [project for project in projects if project != PROVIDER]:
        with product("dashboard", PACE, TENANTRY_BUDGET=BUDGET) as running:
            yield from [_play(project, passed_on, running, reports) for project in here]
    if PROVIDER in projects:
        with letting_in() as provider:
            settings = {
                "TENANTRY_OIDC_ISSUER": provider.issuer,
                "TENANTRY_OIDC_AUDIENCE": AUDIENCE,
                "TENANTRY_OIDC_CLIENT_ID": CLIENT_ID,
                # The tests ask on their own behalf too.
                "TENANTRY_SIGNED_TOKENS": "true",
            }
            with product("provider", PACE, **settings) as running:
                yield _play(PROVIDER, passed_on, running, reports, ISSUER=provider.issuer)


def _play(project: str, passed_on: Sequence[str], running: Product, reports: Path, **told: str) -> int:
    command = [*PLAYWRIGHT, f"--project={project}", f"--output=e2e-results/{project}", REPORTERS, *passed_on]
    people = {
        "OWNER": running.token("acme", "owner"),
        "ADMIN": running.token("acme", "admin"),
        "VIEWER": running.token("acme", "viewer"),
        "PARTNER": running.token("acme", "partner"),
        "GLOBEX_OWNER": running.token("globex", "owner"),
    }
    report = {"PLAYWRIGHT_JSON_OUTPUT_FILE": str(reports / project)}
    return run(command, DASHBOARD, PRODUCT=running.address, **report, **people, **told)


def _failed(report: Path) -> Iterator[str]:
    """The place and the name of every test that a report of Playwright's calls failed."""
    if report.exists():
        yield from _failed_in(json.loads(report.read_text()))


def _failed_in(suite: dict[str, Any]) -> Iterator[str]:
    for test in suite.get("specs", []):
        if not test["ok"]:
            yield f"{test['file']}:{test['line']} {test['title']}"
    for inner in suite.get("suites", []):
        yield from _failed_in(inner)


if __name__ == "__main__":
    sys.exit(main())
