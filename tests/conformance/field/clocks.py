"""Processes with a shifted wall clock: ``python -m tests.conformance.field.clocks -300 workers --threads 4``.

Only Python's wall clock is shifted (``time``, ``datetime``); monotonic clocks and the clocks of servers are not.
"""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import time_machine


@contextmanager
def shifted(seconds: float) -> Iterator[None]:
    """Shift the wall clock of this process by so many seconds, ahead or behind. It keeps its normal speed."""
    with time_machine.travel(timedelta(seconds=seconds), tick=True):
        yield


def main(seconds: str, module: str, *arguments: str) -> None:
    """Run a module as ``python -m`` does, on a shifted clock."""
    sys.argv[1:] = arguments
    with shifted(float(seconds)):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
