"""``python -m adapters.kit``: hold an adapter of yours to the contract of its port."""

import argparse
import sys
from importlib.util import find_spec

from adapters.kit.subject import Factory, Subject
from adapters.registry import NoSuchFactory, factory

PORT_NAMES = ("storage", "identity", "traffic", "deployer", "mailer")

EXIT_CODES = """\
A factory is named as package.module:name, takes nothing, and gives the adapter, or a context manager that gives it.
It is called for each check, and a second time for a second worker. Resources that the kit makes have names with
"kit-"; it destroys them, and what you remember of destroyed names stays.

exit codes: 0 everything was tried and kept; 1 something is broken; 2 it could not be run;
            3 nothing is broken, but something was not tried, because an option was missing.

example: python -m adapters.kit deployer mine.deployer:make --unreachable mine.deployer:make_cut_off
pytest's own options go behind two hyphens: python -m adapters.kit storage mine:make -- -x -k final
docs/adapters.md explains every check.
"""


def main(arguments: list[str] | None = None) -> int:
    """Give the exit code of the verdict."""
    options = _parser().parse_args(arguments)
    if find_spec("pytest") is None:
        sys.stderr.write("The kit runs by pytest, which is not installed here: pip install pytest.\n")
        return 2
    # Imported here, because it needs pytest, which production does not have.
    from adapters.kit.running import run  # noqa: PLC0415  # see above

    try:
        subject = _subject(options)
    except NoSuchFactory as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run(options.port, subject, options.pytest_options).exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.kit",
        description="Holds an adapter of yours to the contract of its port (docs/adapters.md).",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", choices=PORT_NAMES)
    parser.add_argument("factory", metavar="FACTORY", help="gives your adapter")
    parser.add_argument("--unreachable", metavar="FACTORY", help="gives it cut off from its outside")
    parser.add_argument(
        "--crashing", metavar="FACTORY", help="gives one on the same outside that raises when it has created a part"
    )
    parser.add_argument("--hanging", metavar="FACTORY", help="deployer: gives it on an outside that does not answer")
    parser.add_argument("--mail-to", default="", metavar="ADDRESS", help="mailer: who gets the mail that is sent")
    parser.add_argument("--domain", default="localhost", help="traffic: below which host names lie (localhost)")
    parser.add_argument(
        "--within", type=float, default=60.0, metavar="SECONDS", help="deployer: how long a tear-down may take (60)"
    )
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="how often creating races destroying (10)")
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


if __name__ == "__main__":
    sys.exit(main())
