"""The command line: ``python -m devserver`` runs the product, ``demo`` lets it tell its story."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from devserver import demo, development, drafts
from devserver.options import DATA, Options
from devserver.refusal import Refused
from runtime.settings import LONGEST_PACE

DESCRIPTION = """\
Run Tenantry on this machine: embedded PostgreSQL and Valkey, migrations, two demo
organisations, the API, the tenants' edge, workers and a mail catcher. Ctrl-C stops it all;
the next start goes on where this one stopped.
"""

EPILOG = """\
Exported TENANTRY_* variables are honoured; TENANTRY_DATABASE_URL and TENANTRY_REDIS_URL name
servers of your own to be used in place of the embedded ones.

  python -m devserver --pace 3        slow every step, to have time to watch and to cancel
  python -m devserver demo            let it tell its own story and check every claim
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the answer is the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.act(chosen))
    except Refused as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201  # the command line talks to a person
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m devserver",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", type=Path, default=DATA, help="where everything is kept (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="of the API; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument("--workers", type=_count, default=2, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--pace", type=_seconds, default=0.0, metavar="SECONDS", help="slow every step by so much")
    parser.add_argument(
        "--world",
        choices=("real", "simulated"),
        default="real",
        help="simulated keeps the outside in one worker's memory (default: %(default)s)",
    )
    parser.set_defaults(act=lambda chosen: development.run(_options(chosen)))
    _add_commands(parser.add_subparsers(title="instead", metavar="COMMAND"))
    return parser


def _add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    story = commands.add_parser("demo", help="create, watch, cancel in flight, retry; exit 0 only if every claim held")
    story.add_argument("--pace", type=_seconds, default=demo.PACE, metavar="SECONDS", help="default: %(default)s")
    story.add_argument(
        "--budget",
        type=_seconds,
        default=demo.BUDGET,
        metavar="SECONDS",
        help="for a cancel: to the step's safe point, and again for the rest (default: %(default)s)",
    )
    story.set_defaults(act=lambda chosen: demo.run(chosen.pace, chosen.budget))
    draft = commands.add_parser("migration", help="draft a migration from the models")
    draft.add_argument("name", help="what it does, in a few words")
    draft.set_defaults(act=lambda chosen: drafts.draft(chosen.name))


def _options(chosen: argparse.Namespace) -> Options:
    return Options(chosen.data_dir, chosen.port, chosen.workers, chosen.pace, chosen.world)


def _number(text: str, kind: type[int] | type[float] = int) -> float:
    """The number, or one that lies nowhere."""
    try:
        return kind(text)
    except ValueError:
        return math.nan


def _port(text: str) -> int:
    number = _number(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("a port is a number between 0 and 65535")
    return int(number)


def _count(text: str) -> int:
    number = _number(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError("between 1 and 64 processes make sense")
    return int(number)


def _seconds(text: str) -> float:
    seconds = _number(text, float)
    if not 0 <= seconds <= LONGEST_PACE.seconds:
        raise argparse.ArgumentTypeError(f"between 0 and {LONGEST_PACE.seconds} seconds make sense")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
