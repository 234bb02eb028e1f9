"""``python -m workers``: runs one worker process until SIGINT or SIGTERM."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until SIGINT or SIGTERM. Exit code 2 for invalid settings."""
    return run_program("workers.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
