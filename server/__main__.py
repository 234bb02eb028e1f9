"""``python -m server``: serves the API, migrates, prints the schema, issues tokens."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return the exit code."""
    return run_program("server.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
