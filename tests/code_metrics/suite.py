"""``make test`` of a checkout: how long it takes, and what a test reports about the code it has run."""

import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

FRAMES = "frames_of_a_mutation"
"""The property in pytest's report that says how many frames lie between a resolver and its command."""


class Suite(NamedTuple):
    """One run of ``make test``: its time in minutes, and how deep a mutation goes, where a test counts it."""

    minutes: float
    frames_of_a_mutation: int | None


def run_suite(root: Path) -> Suite:
    """Run the tests of a checkout by its own command. Raises RuntimeError, with its last lines, when it fails."""
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        began = time.monotonic()
        command = ["make", "test", f"ARGS=--junit-xml={report}"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        minutes = (time.monotonic() - began) / 60
        if done.returncode:
            raise RuntimeError(f"make test of {root} failed:\n{(done.stdout + done.stderr)[-2000:]}")
        return Suite(round(minutes, 1), frames_in(report) if report.exists() else None)


def frames_in(report: Path) -> int | None:
    """The most frames that a test of pytest's report has counted, or None: no test counts them."""
    properties = ET.parse(report).iterfind(".//property")
    return max((int(one.attrib["value"]) for one in properties if one.attrib["name"] == FRAMES), default=None)
