"""An API process with a low limit of files still answers while strangers hold more connections than it may open."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from runtime.settings import Settings
from server.auth.tokens import sign_token
from tests import attacks
from tests.api import Client, member_identity
from tests.run_harness import RunHarness
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
FILES = 512
STRANGERS = 900


@contextmanager
def served(settings: Settings, log: Path) -> Iterator[str]:
    """Serve the API in a process that may open few files; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENANTRY_")} | {
        "TENANTRY_DATABASE_URL": settings.database_url,
        "TENANTRY_REDIS_URL": settings.redis_url,
        "TENANTRY_SECRET_KEY": settings.secret_key.get_secret_value(),
        "TENANTRY_DATABASE_POOL": "5",
        "TENANTRY_DEVELOPMENT": "true",  # the tenants share this database
    }
    limit_files = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))"
    serve = f"{limit_files}; from server.__main__ import main; main(['serve', '--port', '{port}'])"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-c", serve], cwd=ROOT, env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            wait_until(lambda: is_alive(f"127.0.0.1:{port}"), within=60)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def is_alive(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/healthz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(autouse=True)
def enough_files_for_the_strangers() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 2 * STRANGERS)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_more_idle_connections_than_files_do_not_stop_the_api(harness: RunHarness, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(harness.settings, log) as address, ExitStack() as stack:
        caller = client_of(harness, address)
        host, port = address.split(":")
        opened = [stack.enter_context(socket.create_connection((host, int(port)), 10)) for _ in range(STRANGERS)]

        statuses = [attacks.send_request(caller, "POST", "/graphql", attacks.QUERY).status for _ in range(5)]

        assert statuses == [200] * 5
        assert attacks.open_ones(opened) < FILES
    assert "Too many open files" not in log.read_text()
    assert "out of system resource" not in log.read_text()
    assert "connection limit reached" in log.read_text()


def client_of(harness: RunHarness, address: str) -> Client:
    identity = member_identity(harness.organisation.id, settings=harness.settings)
    return Client(address, f"Bearer {sign_token(harness.settings, identity, timedelta(hours=1))}")
