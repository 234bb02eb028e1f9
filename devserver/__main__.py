"""``python -m devserver``: runs the product on this machine, ``demo`` its demonstration."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_program("devserver.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
