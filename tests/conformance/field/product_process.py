"""``python -m tests.conformance.field.product_process … -- workers``: a product process under test."""

import argparse
import faulthandler
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from provisioning.steps import saga
from tests.conformance.field import mutants, revisions
from tests.conformance.field.clocks import shifted
from tests.conformance.field.failpoints import FailpointClient
from tests.conformance.field.resource_counts import write_counts_on_signal


def main() -> int:
    """Run a worker or server process with a shifted clock, another step list or a mutant, as the options say."""
    faulthandler.register(signal.SIGUSR2)
    mutants.load()
    parser = argparse.ArgumentParser()
    parser.add_argument("--controller", type=Path, required=True, help="socket of the failpoint controller")
    parser.add_argument("--clock", type=float, default=0.0, help="shift of the wall clock in seconds")
    parser.add_argument("--saga", default="", choices=["", *revisions.ALL], help="step list of another release")
    parser.add_argument("--without", default="", choices=["", *mutants.ALL], help="mutant to run")
    parser.add_argument("--keep-runs", action="store_true", help="keep runs for their next moves, as in production")
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
        FailpointClient(options.controller).install()
        write_counts_on_signal(options.controller.parent)
        return _program(options.program, options.arguments, keep_runs=options.keep_runs)


def _program(name: str, arguments: list[str], *, keep_runs: bool) -> int:
    # Imported here, because a mutant may have replaced names that they import.
    if name == "workers":
        import workers.actors  # noqa: PLC0415  # see above
        from workers.__main__ import main as program  # noqa: PLC0415  # see above

        if not keep_runs:
            workers.actors.KEEP_RUN_FOR = 0.0
    else:
        from server.__main__ import main as program  # noqa: PLC0415  # see above
    return program(arguments)


if __name__ == "__main__":
    sys.exit(main())
