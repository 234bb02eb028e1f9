"""The whole product for tests in other languages: started in a temporary directory, and stopped after them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devserver import directories
from devserver.development import stoppable, up
from devserver.errors import DevserverError
from devserver.options import HOST, Options
from runtime.settings import settings


@dataclass(frozen=True)
class Product:
    """The address of a running product, and the token of each principal in its seed."""

    address: str
    tokens: dict[str, Any]

    def token(self, organisation: str, role: str) -> str:
        """The token of an organisation's principal with this role."""
        found: str = self.tokens[organisation][role]
        return found


@contextmanager
def product(name: str, pace: float, **variables: str) -> Iterator[Product]:
    """Run the product under these settings only; each step takes ``pace`` seconds longer. Raises DevserverError."""
    _clear_settings()
    os.environ.update(variables)
    with (
        stoppable(),
        directories.temporary(f"tenantry-{name}-") as folder,
        up(Options(data=folder, port=0, pace=pace)) as running,
    ):
        tokens = json.loads((running.options.data / "tokens.json").read_text())
        yield Product(f"http://{HOST}:{running.options.port}", tokens)


def run_command(command: Sequence[str], folder: Path, **variables: str) -> int:
    """Run a program in a folder with more environment variables. Returns its exit code."""
    return subprocess.run(command, cwd=folder, env=os.environ | variables, check=False).returncode


def show_failures(failed: Sequence[str]) -> None:
    """Print the names of the tests that failed, as the last output of a run."""
    if failed:
        print(f"\n{len(failed)} failed:", *failed, sep="\n", flush=True)  # noqa: T201  # output of a command


def require_node(target: str) -> None:
    """Raises DevserverError when Node is missing; the target of make installs it."""
    if shutil.which("node") is None:
        raise DevserverError(f"Node is not on the PATH: run it by make {target}, which installs Node.")


def _clear_settings() -> None:
    """Remove the settings that the shell exported or that an earlier product left: they may name another database."""
    for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
        del os.environ[name]
    settings.cache_clear()
