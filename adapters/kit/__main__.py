"""``python -m adapters.kit``: checks an adapter against the contract of its port."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and return the exit code."""
    return run_program("adapters.kit.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
