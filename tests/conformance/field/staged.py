"""``python -m tests.conformance.field.staged … -- workers``: a process of the product, in the hands of a director."""

import argparse
import faulthandler
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from provisioning.steps import saga
from tests.conformance.field import mutants, revisions
from tests.conformance.field.census import keep_census
from tests.conformance.field.clocks import shifted
from tests.conformance.field.failpoints import Performer


def main() -> int:
    """Be that process. Its clock, its saga and its protections are as the options say."""
    faulthandler.register(signal.SIGUSR2)
    mutants.load()
    parser = argparse.ArgumentParser()
    parser.add_argument("--director", type=Path, required=True, help="socket of the director")
    parser.add_argument("--clock", type=float, default=0.0, help="seconds by which its wall clock is wrong")
    parser.add_argument("--saga", default="", choices=["", *revisions.ALL], help="another release's list of steps")
    parser.add_argument("--without", default="", choices=["", *mutants.ALL], help="a protection to take away")
    parser.add_argument("program", choices=["workers", "server"])
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.clock:
            stack.enter_context(shifted(options.clock))
        if options.saga:
            revisions.ALL[options.saga](saga)
        if options.without:
            mutants.ALL[options.without](stack.enter_context(pytest.MonkeyPatch.context()))
        Performer(options.director).watch()
        keep_census(options.director.parent)
        return _program(options.program, options.arguments)


def _program(name: str, arguments: list[str]) -> int:
    # Imported here, because a removal may have replaced what they import.
    if name == "workers":
        from workers.__main__ import main as program  # noqa: PLC0415  # see above
    else:
        from server.__main__ import main as program  # noqa: PLC0415  # see above
    return program(arguments)


if __name__ == "__main__":
    sys.exit(main())
