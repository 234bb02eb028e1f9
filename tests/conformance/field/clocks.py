"""Processes whose clock on the wall is wrong: ``python -m tests.conformance.field.clocks -300 workers --threads 4``.

Shifted is what Python tells: time, datetime, and all that is built on them. Monotonic clocks and the servers' are not.
"""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import time_machine


@contextmanager
def shifted(seconds: float) -> Iterator[None]:
    """Let this process' wall clock be so many seconds ahead, or behind, and go on at its pace."""
    with time_machine.travel(timedelta(seconds=seconds), tick=True):
        yield


def main(seconds: str, module: str, *arguments: str) -> None:
    """Run a module as ``python -m`` does, on a shifted clock."""
    sys.argv[1:] = arguments
    with shifted(float(seconds)):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
