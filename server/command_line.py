"""The command line of ``python -m server``: serve, migrate, schema, token."""

import argparse
import gc
import math
from collections.abc import Sequence
from datetime import timedelta

from access.permissions import SCOPES
from models import Role
from runtime.logging import configure_logging
from runtime.migrations import migrate
from runtime.programs import Parser, no_garbage_collection
from runtime.settings import settings
from server.auth.issue import TokenRefused, TokenRequest, issue_token

DESCRIPTION = "Tenantry's API process and its tools. Settings come from TENANTRY_* variables; see docs/operating.md."

MAX_DAYS = 3650
"""Days for which a token may be valid."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return the exit code."""
    options = _parser().parse_args(arguments)
    options.run(options)
    return 0


def _serve(options: argparse.Namespace) -> None:
    configure_logging(settings())
    # Imported here, because the other commands, and a refusal of the settings, need none of it.
    with no_garbage_collection():
        from adapters.start_checks import api_problem, refuse_to_start  # noqa: PLC0415  # see above
        from server.asgi import create_app  # noqa: PLC0415  # see above
        from server.uvicorn_config import Server, configuration  # noqa: PLC0415  # see above

    refuse_to_start(settings(), api_problem)
    app = create_app(settings())
    # Schema and classes live as long as the process: the garbage collector need not traverse them each time.
    gc.freeze()
    Server(configuration(app, options.host, options.port)).run()


def _migrate(options: argparse.Namespace) -> None:
    before, after = migrate(settings(), options.to)
    change = "was already" if before == after else f"was migrated from revision {before or 'base'} and is now"
    print(f"The database {change} at revision {after or 'base'}.")  # noqa: T201  # the command's output


def _schema(_: argparse.Namespace) -> None:
    from schema.root import build_schema  # noqa: PLC0415  # the other commands need no schema

    print(build_schema().as_str())  # noqa: T201  # the command's output


def _token(options: argparse.Namespace) -> None:
    scopes = _scopes(options.scopes) if options.scopes is not None else []
    if options.support and options.organisation is not None:
        raise TokenRefused("Support belongs to no organisation: leave out --organisation.")
    lifetime = timedelta(days=options.days)
    request = TokenRequest(options.organisation, options.role, scopes, options.support, options.email, lifetime)
    print(issue_token(settings(), request))  # noqa: T201  # the command's output


def _scopes(text: str) -> list[str]:
    scopes = [scope.strip() for scope in text.split(",") if scope.strip()]
    if not scopes:
        raise TokenRefused(f"Name at least one scope. The scopes are {', '.join(sorted(SCOPES))}.")
    return scopes


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number between 0 and 65535")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not days <= MAX_DAYS:  # also refuses NaN
        raise argparse.ArgumentTypeError(f"the lifetime is a number of days, at most {MAX_DAYS}")
    return days


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser("python -m server", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    migrate_parser = commands.add_parser("migrate", help="migrate the database to the schema of this release")
    migrate_parser.add_argument(
        "--to", default="head", metavar="REVISION", help="migrate to another revision (default: %(default)s)"
    )
    migrate_parser.set_defaults(run=_migrate)
    commands.add_parser("schema", help="print the GraphQL schema").set_defaults(run=_schema)
    _add_token(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser("serve", help="serve the API until SIGTERM or SIGINT")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    serve.set_defaults(run=_serve)


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser(
        "token",
        help="print a signed token",
        description="Print a token for a person (--role), a service account (--scopes) or support (--support).",
    )
    token.add_argument("--organisation", metavar="SLUG", help="organisation of the person or service account")
    kind = token.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--role", type=str.upper, choices=[role.value for role in Role], help="for a person: role of the member"
    )
    kind.add_argument("--scopes", help=f"for a service account: comma-separated, from {', '.join(sorted(SCOPES))}")
    kind.add_argument(
        "--support", action="store_true", help="for staff of the platform: may read every organisation, change nothing"
    )
    token.add_argument("--email", help="e-mail address of the person (default: the first member with the role)")
    token.add_argument("--days", type=_days, default=1.0, help="lifetime in days (default: %(default)s)")
    token.set_defaults(run=_token)
