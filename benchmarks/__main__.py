"""``make bench``: measures moves, cancels, exports, and ordinary requests during attacks."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks import cancel, export, hostile, moves
from runtime.migrations import migrate
from runtime.programs import Parser, in_one_sentence
from runtime.settings import Settings, read_settings
from tests.servers import servers

BENCHMARKS: dict[str, Callable[[Settings, int], None]] = {
    "moves": moves.run,
    "cancel": cancel.run,
    "export": export.run,
    "hostile": hostile.run,
}


def main() -> int:
    """Run the chosen benchmarks on separate servers."""
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "which", nargs="*", type=_benchmark, metavar=f"{{{','.join(BENCHMARKS)}}}", help="default: all of them"
    )
    parser.add_argument("--rounds", type=int, default=40, help="samples per figure (default: %(default)s)")
    chosen = parser.parse_args()
    with own_servers() as settings:
        for name in chosen.which or BENCHMARKS:
            print(f"\n{name}")
            BENCHMARKS[name](settings, chosen.rounds)
    return 0


def _benchmark(name: str) -> str:
    # With choices, argparse would require the empty list as a choice, and show it.
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(BENCHMARKS)}")
    return name


@contextmanager
def own_servers() -> Iterator[Settings]:
    """Start embedded servers with an empty, migrated database."""
    with servers("bench") as running:
        os.environ["TENANTRY_DATABASE_URL"] = running.database_url
        os.environ["TENANTRY_REDIS_URL"] = running.redis_url
        os.environ["TENANTRY_DEVELOPMENT"] = "true"
        os.environ["TENANTRY_SECRET_KEY"] = "benchmarks only, and at least 32 long"  # noqa: S105  # a secret of benchmarks only
        settings = read_settings()
        migrate(settings)
        yield settings


if __name__ == "__main__":
    sys.exit(in_one_sentence(main))
