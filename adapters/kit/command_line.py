"""The command line of ``python -m adapters.kit``: check an adapter against the contract of its port."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec

from adapters.kit.subject import Factory, Subject
from adapters.registry import factory
from runtime.programs import OperatorError, Parser

PORT_NAMES = ("storage", "identity", "traffic", "deployer", "mailer")

EXIT_CODES = """\
A FACTORY has the form package.module:name. It is called without arguments and returns the adapter, or a context
manager that returns it. It is called for each check, and a second time for a second worker. The names of the kit's
resources contain "kit-". The kit destroys its resources; their tombstones remain.

exit codes: 0 all checks passed; 1 a check failed; 2 the kit could not run;
            3 no check failed, but some were skipped, because an option was missing.

example: python -m adapters.kit deployer mine.deployer:make --unreachable mine.deployer:make_cut_off
Options of pytest follow two hyphens: python -m adapters.kit storage mine:make -- -x -k final
docs/adapters.md explains every check.
"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and return the exit code."""
    options = _parser().parse_args(arguments)
    if find_spec("pytest") is None:
        raise OperatorError("The kit needs pytest, which is not installed: pip install pytest.")
    # Imported here, because it needs pytest, which is not installed in production.
    from adapters.kit.runner import run as run_checks  # noqa: PLC0415  # see above

    return run_checks(options.port, _subject(options), options.pytest_options).exit_code


def _parser() -> Parser:
    parser = Parser(
        prog="python -m adapters.kit",
        description="Check your adapter against the contract of its port (docs/adapters.md).",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", choices=PORT_NAMES)
    parser.add_argument("factory", metavar="FACTORY", help="returns your adapter")
    parser.add_argument(
        "--unreachable", metavar="FACTORY", help="returns the adapter, disconnected from its infrastructure"
    )
    parser.add_argument(
        "--crashing", metavar="FACTORY", help="returns the adapter, raising after it has created a part"
    )
    parser.add_argument(
        "--hanging",
        metavar="FACTORY",
        help="deployer: returns the adapter on an infrastructure that hangs",
    )
    parser.add_argument("--mail-to", default="", metavar="ADDRESS", help="mailer: recipient of the test mail")
    parser.add_argument("--domain", default="localhost", help="traffic: domain of the host names (localhost)")
    parser.add_argument(
        "--within", type=float, default=60.0, metavar="SECONDS", help="deployer: time limit of a tear-down (60)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, metavar="N", help="races between creating and destroying (10)"
    )
    parser.add_argument("pytest_options", nargs="*", metavar="-- OPTION", help="options of pytest")
    return parser


def _subject(options: argparse.Namespace) -> Subject:
    return Subject(
        make=factory(options.factory),
        unreachable=_named(options.unreachable),
        crashing=_named(options.crashing),
        hanging=_named(options.hanging),
        mail_to=options.mail_to,
        domain=options.domain,
        within=options.within,
        rounds=options.rounds,
    )


def _named(reference: str | None) -> Factory | None:
    return factory(reference) if reference else None
