"""``python -m edge``: says which program serves the edge."""

import sys
from collections.abc import Sequence

from runtime.programs import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the sentence and return the exit code."""
    return run_program("edge.command_line", arguments)


if __name__ == "__main__":
    sys.exit(main())
