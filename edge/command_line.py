"""The command line of ``python -m edge``: the edge is no program of its own, so it names the one that serves it."""

import argparse
from collections.abc import Sequence

from runtime.programs import OperatorError

PART_OF_THE_API = (
    "The edge is a part of the API process: run python -m server serve, which also answers on the host names of "
    "tenants (docs/operating.md, Processes)."
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Answer --help, and raise OperatorError for all other arguments."""
    argparse.ArgumentParser("python -m edge", description=PART_OF_THE_API).parse_known_args(arguments)
    raise OperatorError(PART_OF_THE_API)
