"""The product's own processes, and the environment that configures them."""

import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import httpx

from devserver.options import HOST, Options
from devserver.processes import Child, spawn
from devserver.refusal import Refused


def environment(options: Options, *, database_url: str, redis_url: str, smtp_port: int) -> dict[str, str]:
    """Configure the product for this machine. What the person exported wins, except what the command line says."""
    chosen = {
        "TENANTRY_DATABASE_URL": database_url,
        "TENANTRY_REDIS_URL": redis_url,
        "TENANTRY_SECRET_KEY": secret_key(options.data / "secret-key"),
        "TENANTRY_SMTP_HOST": HOST,
        "TENANTRY_SMTP_PORT": str(smtp_port),
        "TENANTRY_CONSOLE_URL": f"http://localhost:{options.port}",
    }
    if not os.environ.get("TENANTRY_OIDC_ISSUER"):  # whoever has a provider tries that out, and these would be refused
        chosen["TENANTRY_SEEDED_TOKENS"] = str(options.data.absolute() / "tokens.json")
    told = {
        "TENANTRY_TENANT_PORT": str(options.port),
        "TENANTRY_PACE": f"PT{options.pace:f}S",
        "TENANTRY_WORLD": options.world,
    }
    return chosen | dict(os.environ) | told | {"PYTHONUNBUFFERED": "1"}


def secret_key(path: Path) -> str:
    """Give the key of this data directory, made once; tokens and sealed keys of earlier starts stay good."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def port_for(wanted: int) -> int:
    """Give the wanted port, or a free one for 0. Raises Refused when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise Refused(
                f"Port {wanted} on {HOST} cannot be had ({error.strerror}); "
                f'choose another, for example make up ARGS="--port {wanted + 1}".'
            ) from None
        port: int = probe.getsockname()[1]
    return port


def api(options: Options, variables: Mapping[str, str], logs: Path) -> Callable[[], Child]:
    """How the API is started; it answers for the tenants' host names too."""
    argv = [sys.executable, "-m", "server", "serve", "--host", HOST, "--port", str(options.port)]
    return partial(spawn, "API", argv, log=logs / "api.log", environment=variables, patience=20)


def await_api(child: Child, options: Options) -> None:
    """Return once the API answers. Raises Refused.

    It asks for /healthz: a run that waited while everything was stopped makes /readyz unfit until a worker got to it.
    """
    child.await_ready(partial(_answers, f"http://{HOST}:{options.port}/healthz"), within=120)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def workers(options: Options, variables: Mapping[str, str], logs: Path) -> list[Callable[[], Child]]:
    """How each worker process is started."""
    return [partial(_start_worker, number, variables, logs) for number in range(1, options.worker_processes + 1)]


def _start_worker(number: int, variables: Mapping[str, str], logs: Path) -> Child:
    argv = [sys.executable, "-m", "workers"]
    # A worker finishes or gives back what it is doing; its own drain limit is below this patience.
    return spawn(f"worker {number}", argv, log=logs / f"worker-{number}.log", environment=variables, patience=30)
