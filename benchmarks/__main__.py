"""``make bench``: measures the engine in rounds, beside peers, with the cost of cancels, waiting and rest."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was chosen and return the exit code."""
    return run_program("benchmarks.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
