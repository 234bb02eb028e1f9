"""``make up``: a welcome page, one server per data directory, no leftover process, a restart after a kill."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from access import api_tokens
from devserver import directories

COMMAND = [sys.executable, "-m", "devserver", "--port", "0", "--workers", "1"]
LAST_LINE = "Ctrl-C stops everything."
CREATE = """
mutation { createTenant(input: {slug: "kept", plan: "starter", firstAdminEmail: "ada@example.com"}) {
  tenant { slug } userErrors { message } } }
"""
SLUGS = "{ tenants(first: 10) { edges { node { slug } } } }"


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[str]
    data: Path
    page: str

    @property
    def base(self) -> str:
        return str(re.findall(r"http://127\.0\.0\.1:\d+", self.page)[0])

    @property
    def tokens(self) -> dict[str, Any]:
        tokens: dict[str, Any] = json.loads((self.data / "tokens.json").read_text())
        return tokens

    def execute(self, document: str) -> dict[str, object]:
        answer = httpx.post(
            f"{self.base}/graphql",
            json={"query": document},
            headers={"Authorization": f"Bearer {self.tokens['acme']['owner']}"},
            timeout=20,
            trust_env=False,
        ).json()
        assert "errors" not in answer, answer
        data: dict[str, object] = answer["data"]
        return data

    def child_processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def clean_environment(**added: str) -> dict[str, str]:
    """The environment without any setting of the product."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")} | added


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Programs started in this block heed SIGINT, also when a shell runs the tests in the background and ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def started(data: Path, *options: str) -> Iterator[Started]:
    with heeding_ctrl_c():
        process = subprocess.Popen(
            [*COMMAND, "--data-dir", str(data), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
        )
    try:
        assert process.stdout is not None
        page = ""
        for line in process.stdout:
            page += line
            if LAST_LINE in line:
                break
        assert LAST_LINE in page, page
        yield Started(process, data, page)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def data() -> Iterator[Path]:
    with directories.temporary("tenantry-e2e-") as folder:
        yield folder


@pytest.fixture(scope="module")
def running() -> Iterator[Started]:
    with directories.temporary("tenantry-e2e-") as folder, started(folder) as product:
        yield product


def test_every_principal_gets_a_token_that_only_the_owner_of_the_directory_may_read(running: Started) -> None:
    roles = {"owner", "admin", "viewer", "partner"}
    tokens = running.data / "tokens.json"

    assert {name: set(held) for name, held in running.tokens.items() if name != "support"} == {
        "acme": roles,
        "globex": roles,
    }
    assert isinstance(running.tokens["support"], str)
    assert all(api_tokens.is_token(running.tokens[one]["partner"]) for one in ("acme", "globex"))
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600


def test_the_product_is_ready(running: Started) -> None:
    readiness = httpx.get(f"{running.base}/readyz", trust_env=False)

    assert readiness.json()["status"] == "ok"


def test_the_dashboards_sign_in_offers_every_token(running: Started) -> None:
    offered = httpx.get(f"{running.base}/dashboard/sign-in.json", trust_env=False).json()

    held = [(one["organization"], one["role"], one["token"]) for one in offered["seeded"]]
    people = [(name, role, token) for name in ("acme", "globex") for role, token in running.tokens[name].items()]
    assert held == [*people, (None, "support", running.tokens["support"])]
    assert offered["provider"] is None


def test_a_second_server_on_one_directory_is_refused(running: Started) -> None:
    second = subprocess.run(
        [*COMMAND, "--data-dir", str(running.data)],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )

    assert second.returncode == 1
    assert f"{running.data} is used by process {running.process.pid} (" in second.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="the commands of the page need curl")
def test_the_commands_of_the_welcome_page_work_as_printed(running: Started) -> None:
    token, create = re.findall(r"^  (TOKEN=.*|curl -s (?:.*\\\n)*.*createTenant.*)$", running.page, re.MULTILINE)

    tried = subprocess.run(["bash", "-c", f"{token}\n{create}"], capture_output=True, text=True, timeout=60, check=True)

    answer = json.loads(tried.stdout)["data"]["createTenant"]
    assert answer["userErrors"] == []
    assert answer["tenant"]["state"] == "PROVISIONING"


def test_the_product_continues_after_a_kill_and_ctrl_c_leaves_no_process(data: Path) -> None:
    with started(data) as first:
        first.execute(CREATE)
        leftover = first.child_processes()
        first.process.kill()
        first.process.wait()

        with started(data) as second:
            assert not [process for process in leftover if process.is_running()]
            assert second.execute(SLUGS) == {"tenants": {"edges": [{"node": {"slug": "kept"}}]}}
            children = second.child_processes()
            second.process.send_signal(signal.SIGINT)
            code = second.process.wait(timeout=60)

    assert code == 0
    assert not [process for process in children if process.is_running()]
    assert not (data / "processes.json").exists()


def test_an_invalid_setting_stops_the_start_with_one_sentence(data: Path) -> None:
    refused = subprocess.run(
        [*COMMAND, "--data-dir", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(TENANTRY_LEASE_RENEWAL="PT60S"),
    )

    assert refused.returncode == 1
    assert refused.stderr == (
        "The settings contradict each other: TENANTRY_LEASE must be at least twice TENANTRY_LEASE_RENEWAL, "
        "and both above zero.\n"
    )


def test_every_check_of_the_demonstration_passes_without_an_exported_database() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "devserver", "demo", "--pace", "0.5", "--budget", "10"],
        capture_output=True,
        text=True,
        timeout=240,
        env=clean_environment(TENANTRY_DATABASE_URL="postgresql://app@127.0.0.1:1/x", TENANTRY_LEASE="nonsense"),
        check=False,
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "FAILED" not in demo.stdout
