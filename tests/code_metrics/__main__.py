"""``make metrics``: what a checkout is made of, counted the same way before a change as after it."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures and return the exit code."""
    return run_program("tests.code_metrics.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
