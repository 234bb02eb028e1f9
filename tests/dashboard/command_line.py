"""``python -m tests.dashboard``: run the dashboard's browser tests against the running product."""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from devserver import faults
from devserver.errors import DevserverError
from tests.dashboard.provider import CLIENT_ID, running_provider
from tests.dashboard.worker_pause import running_worker_pause
from tests.identity_provider import AUDIENCE
from tests.running_product import Product, product, require_node, run_command, show_failures

DASHBOARD = Path(__file__).resolve().parents[2] / "dashboard"
CHROMIUM = "/usr/bin/chromium"
PACE = 0.7
"""Seconds by which every step is slowed, so that a test has time to watch a run and to cancel it."""

BUDGET = "100000"
"""Points of the rate limit: a user of the tests does in a minute what a real user does in an hour."""

STORY, PRODUCT, HOST, PROVIDER, SCREENSHOTS = "story", "product", "host", "provider", "screenshots"
"""The projects of dashboard/playwright.config.ts. The story measures durations, so no other test runs beside it."""

TESTS = (STORY, PRODUCT, HOST, PROVIDER)
PLAYWRIGHT = ("node", "node_modules/@playwright/test/cli.js", "test")
REPORTERS = "--reporter=list,json"
EPILOG = "Other arguments are passed to Playwright, for example: race.spec.ts, or -g 'double click'."


def run(arguments: Sequence[str] | None = None) -> int:
    """Start the product in a temporary folder and run the tests; returns their exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.dashboard", description=__doc__, epilog=EPILOG, allow_abbrev=False
    )
    parser.add_argument("--screenshots", action="store_true", help="take the screenshots of the documents instead")
    options, extra = parser.parse_known_args(arguments)
    require_node("test-dashboard")
    _demand_browser()
    projects = [SCREENSHOTS] if options.screenshots else _projects_with_tests(extra)
    with TemporaryDirectory() as folder:
        codes = list(_exit_codes(projects, extra, Path(folder)))
        show_failures([failed for project in projects for failed in _failed(Path(folder, project))])
    return next((code for code in codes if code), 0)


def _demand_browser() -> None:
    """Raise DevserverError without a browser: all of these tests need one, so none is skipped."""
    if not Path(os.environ.get("CHROMIUM") or CHROMIUM).exists():
        raise DevserverError(
            "No browser found: install one with apt-get install chromium, or set CHROMIUM to the path of yours."
        )


def _projects_with_tests(extra: Sequence[str]) -> Sequence[str]:
    """The projects that have tests for these arguments; if none has, one project, in which Playwright says so."""
    if not extra:
        return TESTS
    return [project for project in TESTS if _has_tests(project, extra)] or [PRODUCT]


def _has_tests(project: str, extra: Sequence[str]) -> bool:
    command = [*PLAYWRIGHT, "--list", f"--project={project}", *extra]
    return subprocess.run(command, cwd=DASHBOARD, capture_output=True, check=False).returncode == 0


def _exit_codes(projects: Sequence[str], extra: Sequence[str], reports: Path) -> Iterator[int]:
    """Run the projects on one product, except PROVIDER: it needs a product with an identity provider."""
    if without_provider := [project for project in projects if project != PROVIDER]:
        with (
            product(
                "dashboard",
                PACE,
                TENANTRY_BUDGET=BUDGET,
                TENANTRY_ORGANISATION_BUDGET=BUDGET,
                TENANTRY_DEPLOYER=faults.DEPLOYER,
            ) as running,
            running_worker_pause() as worker_pause,
        ):
            yield from [
                _run_project(project, extra, running, reports, WORKER_PAUSE=worker_pause)
                for project in without_provider
            ]
    if PROVIDER in projects:
        with running_provider() as provider:
            settings = {
                "TENANTRY_OIDC_ISSUER": provider.issuer,
                "TENANTRY_OIDC_AUDIENCE": AUDIENCE,
                "TENANTRY_OIDC_CLIENT_ID": CLIENT_ID,
                # The tests also send requests of their own, with signed tokens.
                "TENANTRY_SIGNED_TOKENS": "true",
            }
            with product("provider", PACE, **settings) as running:
                yield _run_project(PROVIDER, extra, running, reports, ISSUER=provider.issuer)


def _run_project(project: str, extra: Sequence[str], running: Product, reports: Path, **environment: str) -> int:
    command = [*PLAYWRIGHT, f"--project={project}", f"--output=e2e-results/{project}", REPORTERS, *extra]
    tokens = {
        "OWNER": running.token("acme", "owner"),
        "ADMIN": running.token("acme", "admin"),
        "VIEWER": running.token("acme", "viewer"),
        "PARTNER": running.token("acme", "partner"),
        "GLOBEX_OWNER": running.token("globex", "owner"),
    }
    report = {"PLAYWRIGHT_JSON_OUTPUT_FILE": str(reports / project)}
    return run_command(command, DASHBOARD, PRODUCT=running.address, **report, **tokens, **environment)


def _failed(report: Path) -> Iterator[str]:
    """The location and the name of every failed test in a JSON report of Playwright."""
    if report.exists():
        yield from _failed_in(json.loads(report.read_text()))


def _failed_in(suite: dict[str, Any]) -> Iterator[str]:
    for test in suite.get("specs", []):
        if not test["ok"]:
            yield f"{test['file']}:{test['line']} {test['title']}"
    for inner in suite.get("suites", []):
        yield from _failed_in(inner)
