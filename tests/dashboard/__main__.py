"""``python -m tests.dashboard``: run the dashboard's browser tests against the running product."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the browser tests and return the exit code."""
    return run_program("tests.dashboard.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
