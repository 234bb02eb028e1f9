"""The command line of ``python -m devserver``: run the product, or its demonstration."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from devserver import demo, development, migration_draft
from devserver.errors import DevserverError
from devserver.faults import FAULTS
from devserver.options import DATA, Options
from runtime.programs import Parser
from runtime.settings import LONGEST_PACE

DESCRIPTION = """\
Run Tenantry on this machine: embedded PostgreSQL and Valkey, migrations, two demo
organisations, the API, the tenants' edge, workers and a mail catcher. Ctrl-C stops all of
them. The data are kept for the next start.
"""

EPILOG = """\
Exported TENANTRY_* variables are used. With TENANTRY_DATABASE_URL and TENANTRY_REDIS_URL
the product uses your servers instead of the embedded ones.

  python -m devserver --pace 3        add 3 seconds to every step, to watch it or to cancel it
  python -m devserver --faults        a tenant called shop-fail becomes FAILED, one called shop-stick STUCK
  python -m devserver demo            run the demonstration and check its results
"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    chosen = _parser().parse_args(arguments)
    return int(chosen.act(chosen))


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        "python -m devserver",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", type=_folder, default=DATA, help="directory for all data (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="port of the API; 0 chooses a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=_count, default=2, metavar="N", help="number of worker processes (default: %(default)s)"
    )
    parser.add_argument("--pace", type=_seconds, default=0.0, metavar="SECONDS", help="delay added to every step")
    parser.add_argument(
        "--world",
        choices=("real", "simulated"),
        default="real",
        help="simulated keeps all resources in the memory of one worker (default: %(default)s)",
    )
    parser.add_argument(
        "--faults",
        action="store_true",
        help="words in a tenant's slug make its deployer misbehave, to see FAILED, STUCK and waiting: "
        f"{', '.join(FAULTS)}",
    )
    parser.set_defaults(act=lambda chosen: development.run(_options(chosen)))
    _add_commands(parser.add_subparsers(title="other commands", metavar="COMMAND"))
    return parser


def _add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demonstration = commands.add_parser(
        "demo", help="create, watch, cancel and retry a tenant; exit code 0 only if every check passed"
    )
    demonstration.add_argument(
        "--pace",
        type=_seconds,
        default=demo.PACE,
        metavar="SECONDS",
        help="delay added to every step (default: %(default)s)",
    )
    demonstration.add_argument(
        "--budget",
        type=_seconds,
        default=demo.BUDGET,
        metavar="SECONDS",
        help="time limit for a cancel until the safe point of the step, and again for the rest (default: %(default)s)",
    )
    demonstration.set_defaults(act=lambda chosen: demo.run(chosen.pace, chosen.budget))
    draft = commands.add_parser("migration", help="draft a migration from the models")
    draft.add_argument("name", help="what the migration does, in a few words")
    draft.set_defaults(act=lambda chosen: migration_draft.draft(chosen.name))


def _options(chosen: argparse.Namespace) -> Options:
    if chosen.faults and chosen.world == "simulated":
        raise DevserverError(
            "--faults needs the real world: the simulated one has no deployer. Omit --world simulated."
        )
    return Options(chosen.data_dir, chosen.port, chosen.workers, chosen.pace, chosen.world, chosen.faults)


def _number(text: str, kind: type[int] | type[float] = int) -> float:
    """Return the number, or NaN, which is in no range."""
    try:
        return kind(text)
    except ValueError:
        return math.nan


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("must name a directory")
    return Path(text)


def _port(text: str) -> int:
    number = _number(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be a port number between 0 and 65535")
    return int(number)


def _count(text: str) -> int:
    number = _number(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("must be between 1 and 64 processes")
    return int(number)


def _seconds(text: str) -> float:
    seconds = _number(text, float)
    if not 0 <= seconds <= LONGEST_PACE.seconds:
        raise argparse.ArgumentTypeError(f"must be between 0 and {LONGEST_PACE.seconds} seconds")
    return seconds
