"""``python -m tests.conformance``: prove every promise of the product under faults."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the conformance scenarios and return the exit code."""
    return run_program("tests.conformance.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
