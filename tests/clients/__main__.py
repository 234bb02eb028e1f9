"""``python -m tests.clients``: run the tests of npm's GraphQL clients against the running product."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests of the clients and return the exit code."""
    return run_program("tests.clients.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
