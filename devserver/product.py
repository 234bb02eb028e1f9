"""The product's own processes with the environment that configures them."""

import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import httpx

from devserver import faults
from devserver.errors import DevserverError
from devserver.options import HOST, Options
from devserver.processes import Child, spawn


def environment(options: Options, *, database_url: str, redis_url: str, smtp_port: int) -> dict[str, str]:
    """Return the variables of the product. Exported variables override the defaults, command-line options both."""
    chosen = {
        "TENANTRY_DATABASE_URL": database_url,
        "TENANTRY_REDIS_URL": redis_url,
        "TENANTRY_DEVELOPMENT": "true",
        "TENANTRY_SECRET_KEY": secret_key(options.data / "secret-key"),
        "TENANTRY_SMTP_HOST": HOST,
        "TENANTRY_SMTP_PORT": str(smtp_port),
        "TENANTRY_CONSOLE_URL": f"http://localhost:{options.port}",
    }
    if not os.environ.get("TENANTRY_OIDC_ISSUER"):  # with a provider, seeded tokens are refused
        chosen["TENANTRY_SEEDED_TOKENS"] = str(options.data.absolute() / "tokens.json")
    options_given = {
        "TENANTRY_TENANT_PORT": str(options.port),
        "TENANTRY_PACE": f"PT{options.pace:f}S",
        "TENANTRY_WORLD": options.world,
    }
    if options.faults:
        options_given["TENANTRY_DEPLOYER"] = faults.DEPLOYER
    return chosen | dict(os.environ) | options_given | {"PYTHONUNBUFFERED": "1"}


def secret_key(path: Path) -> str:
    """Return the key of this data directory, created once: tokens and encrypted keys of earlier starts stay valid."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def port_for(requested: int) -> int:
    """Return the requested port, or a free one for 0. Raises DevserverError when the port is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, requested))
        except OSError as error:
            raise DevserverError(
                f"Port {requested} on {HOST} is not available ({error.strerror}): "
                f'choose another, for example make up ARGS="--port {requested + 1}".'
            ) from None
        port: int = probe.getsockname()[1]
    return port


def api(options: Options, variables: Mapping[str, str], logs: Path) -> Callable[[], Child]:
    """Return a function that starts the API, which also serves the tenants' host names."""
    argv = [sys.executable, "-m", "server", "serve", "--host", HOST, "--port", str(options.port)]
    return partial(spawn, "API", argv, log=logs / "api.log", environment=variables, timeout=20)


def await_api(child: Child, options: Options) -> None:
    """Wait until the API responds. Raises DevserverError.

    It polls /healthz: /readyz fails while a run that was due before the start still waits for a worker.
    """
    child.await_ready(partial(_answers, f"http://{HOST}:{options.port}/healthz"), within=120)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def workers(options: Options, variables: Mapping[str, str], logs: Path) -> list[Callable[[], Child]]:
    """Return a function for each worker process that starts it."""
    return [partial(_start_worker, number, variables, logs) for number in range(1, options.worker_processes + 1)]


def _start_worker(number: int, variables: Mapping[str, str], logs: Path) -> Child:
    argv = [sys.executable, "-m", "workers"]
    # A stopping worker finishes or releases its moves within its drain timeout, which is shorter than this timeout.
    return spawn(f"worker {number}", argv, log=logs / f"worker-{number}.log", environment=variables, timeout=30)
