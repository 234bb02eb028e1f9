"""The whole product for other people's programs: brought up in a place of its own, and taken down after them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devserver import places
from devserver.development import stoppable, up
from devserver.options import HOST, Options
from devserver.refusal import Refused
from runtime.settings import settings


@dataclass(frozen=True)
class Product:
    """Where it answers, and a token for each of those whom its seed made."""

    address: str
    tokens: dict[str, Any]

    def token(self, organisation: str, role: str) -> str:
        """Of somebody in an organisation."""
        found: str = self.tokens[organisation][role]
        return found


@contextmanager
def product(name: str, pace: float, **chosen: str) -> Iterator[Product]:
    """Run it under these settings and no others; each step takes ``pace`` seconds longer. Raises Refused."""
    _forget_settings()
    os.environ.update(chosen)
    with (
        stoppable(),
        places.temporary(f"tenantry-{name}-") as folder,
        up(Options(data=folder, port=0, pace=pace)) as running,
    ):
        tokens = json.loads((running.options.data / "tokens.json").read_text())
        yield Product(f"http://{HOST}:{running.options.port}", tokens)


def run(command: Sequence[str], folder: Path, **told: str) -> int:
    """Run a program in a folder, and tell it this in its environment; the answer is its exit code."""
    return subprocess.run(command, cwd=folder, env=os.environ | told, check=False).returncode


def show_failures(failed: Sequence[str]) -> None:
    """Print the names of the tests that failed: the last thing that a run says."""
    if failed:
        print(f"\n{len(failed)} failed:", *failed, sep="\n", flush=True)  # noqa: T201  # for the person who ran them


def require_node(target: str) -> None:
    """Raise Refused where there is no Node; this target of make fetches one."""
    if shutil.which("node") is None:
        raise Refused(f"There is no node here; make {target} fetches one.")


def _forget_settings() -> None:
    """What the person exported may name somebody's database, and a product that ran before has left its own."""
    for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
        del os.environ[name]
    settings.cache_clear()
