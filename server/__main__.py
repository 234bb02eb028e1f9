"""The command line: ``python -m server serve | migrate | schema | token``."""

import argparse
import gc
import math
import sys
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import OperationalError

from access.permissions import SCOPES
from models import Role
from runtime.logging import configure_logging
from runtime.migrations import MigrationRefused, migrate
from runtime.settings import SettingsRefused, settings
from schema.root import build_schema
from server.asgi import create_app
from server.auth.issue import TokenRefused, Wanted, token_for
from server.uvicorn_config import Server, configuration

DESCRIPTION = "Tenantry's API process and its tools. Settings come from TENANTRY_* variables; see docs/operating.md."

MOST_DAYS = 3650


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the answer is the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.act(chosen)
    except (SettingsRefused, TokenRefused, MigrationRefused) as refusal:
        return _refused(str(refusal))
    except OperationalError as error:
        reason = next(iter(str(error.orig).splitlines()), "it says nothing")
        return _refused(f"The database cannot be used: {reason}")
    return 0


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201  # the command line talks to a person
    return 2


def _serve(chosen: argparse.Namespace) -> None:
    configure_logging(settings())
    app = create_app(settings())
    # What is here now stays: schema and classes need not be gone through each time that garbage is collected.
    gc.freeze()
    Server(configuration(app, chosen.host, chosen.port)).run()


def _migrate(chosen: argparse.Namespace) -> None:
    migrate(settings(), chosen.to)


def _schema(_: argparse.Namespace) -> None:
    print(build_schema().as_str())  # noqa: T201  # the schema is this command's product


def _token(chosen: argparse.Namespace) -> None:
    scopes = _scopes(chosen.scopes) if chosen.scopes is not None else []
    if chosen.support and chosen.organisation is not None:
        raise TokenRefused("Support belongs to no organisation: leave out --organisation.")
    wanted = Wanted(chosen.organisation, chosen.role, scopes, chosen.support, chosen.email, timedelta(days=chosen.days))
    print(token_for(settings(), wanted))  # noqa: T201  # the token is this command's product


def _scopes(text: str) -> list[str]:
    scopes = [scope.strip() for scope in text.split(",") if scope.strip()]
    if not scopes:
        raise TokenRefused(f"Name one scope at least; there is {', '.join(sorted(SCOPES))}.")
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
    if not days <= MOST_DAYS:  # neither is what is not a number
        raise argparse.ArgumentTypeError(f"a token is good for a number of days, {MOST_DAYS} at most")
    return days


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m server", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    up = commands.add_parser("migrate", help="bring the database to the schema of this release")
    up.add_argument("--to", default="head", metavar="REVISION", help="another revision (default: %(default)s)")
    up.set_defaults(act=_migrate)
    commands.add_parser("schema", help="print the GraphQL schema").set_defaults(act=_schema)
    _add_token(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser("serve", help="answer requests until told to stop")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    serve.set_defaults(act=_serve)


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser(
        "token",
        help="print a signed token",
        description="Print a token for a person (--role), a service account (--scopes) or support (--support).",
    )
    token.add_argument("--organisation", metavar="SLUG", help="whose; not for support")
    kind = token.add_mutually_exclusive_group(required=True)
    kind.add_argument("--role", type=str.upper, choices=[role.value for role in Role], help="for a person")
    kind.add_argument("--scopes", help=f"for a service account, comma separated: {', '.join(sorted(SCOPES))}")
    kind.add_argument("--support", action="store_true", help="for staff of the platform: read only, everywhere")
    token.add_argument("--email", help="of the person; the member with this role when absent")
    token.add_argument("--days", type=_days, default=1.0, help="how long it is good for (default: %(default)s)")
    token.set_defaults(act=_token)


if __name__ == "__main__":
    sys.exit(main())
