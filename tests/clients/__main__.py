"""``python -m tests.clients``: let the clients that npm has use the running product."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devserver import places
from devserver.development import Running, stoppable, up
from devserver.options import HOST, Options
from devserver.refusal import Refused

HERE = Path(__file__).parent
PACE = 0.3
"""Seconds that every step takes longer: time enough to be watched, to be cut off and to be cancelled."""

OPTIONS = ("--test-reporter=spec", "--test-concurrency=3")
"""Three files at once: they wait more than they work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the product up in a place of its own and run the tests; the answer is their exit code."""
    parser = argparse.ArgumentParser("python -m tests.clients", description=__doc__)
    parser.add_argument("files", nargs="*", help="of tests, for example urql.test.js (default: all)")
    chosen = parser.parse_args(arguments)
    if shutil.which("node") is None:
        parser.error("there is no node here; make test-clients fetches one")
    try:
        return _run(chosen.files or sorted(path.name for path in HERE.glob("*.test.js")))
    except Refused as refusal:
        parser.error(str(refusal))


def _run(files: Sequence[str]) -> int:
    _forget_settings()
    with (
        stoppable(),
        places.temporary("tenantry-clients-") as folder,
        up(Options(data=folder, port=0, pace=PACE)) as running,
    ):
        command = ["node", "--test", "--test-force-exit", *OPTIONS, *files]
        return subprocess.run(command, cwd=HERE, env=os.environ | _told(running), check=False).returncode


def _forget_settings() -> None:
    """What the person exported may name somebody's database; the tests have servers of their own."""
    for name in [name for name in os.environ if name.startswith("TENANTRY_")]:
        del os.environ[name]


def _told(running: Running) -> dict[str, str]:
    tokens = json.loads((running.options.data / "tokens.json").read_text())
    people = {"TOKEN": tokens["acme"]["owner"], "OBSERVER": tokens["acme"]["admin"]}
    return {"PRODUCT": f"http://{HOST}:{running.options.port}", **people}


if __name__ == "__main__":
    sys.exit(main())
