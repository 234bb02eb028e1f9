"""How every program of the product starts and ends: errors become one sentence with a way out, and an exit code.

It needs nothing but Python, so that it also explains an installation that is incomplete.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from runtime.error_lines import first_line
from runtime.masking import without_secrets

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 11)
FAILED, REFUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141
"""Exit codes: an error, a refusal by the program's own checks, and as shells report SIGINT and SIGPIPE."""


class OperatorError(Exception):
    """An error that the program expects. The message is written for operators: what happened, and what to do."""

    exit_code = REFUSED


def run_program(module: str, arguments: Sequence[str] | None = None) -> int:
    """Import the module of a command line, call its ``run`` with the arguments, and return the exit code.

    Importing is part of it: a missing package is an error like any other.
    """
    return in_one_sentence(lambda: _checked(module).run(arguments))  # type: ignore[attr-defined]  # every one has it


def in_one_sentence(act: Callable[[], int]) -> int:
    """Return the exit code of ``act``, or print its error as one sentence and return the exit code of that error."""
    try:
        return act()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes its output once more at the end, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except Exception as error:  # noqa: BLE001  # the last resort of a program
        if _wants_traceback():
            sys.stderr.write(without_secrets(traceback.format_exc()))
        sys.stderr.write(f"{without_secrets(sentence_of(error))}\n")
        return error.exit_code if isinstance(error, OperatorError) else _exit_code(error)


def sentence_of(error: BaseException) -> str:
    """What happened, to which thing, and what to do."""
    if isinstance(error, OperatorError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and not _is_ours(error.name or ""):
        return (
            f"The package {error.name} is not installed in this Python ({sys.executable}): run make .venv in {ROOT}, "
            f"then start the program with {ROOT / '.venv' / 'bin' / 'python'}."
        )
    from_server = getattr(error, "orig", None) or error
    if _is_from("psycopg", from_server):
        return _about_postgres(from_server)
    if _is_from("redis", error):
        return f"The broker cannot be used: {first_line(error)}. Check TENANTRY_REDIS_URL and the server it names."
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename} cannot be used: {error.strerror}" if error.filename else error.strerror
        return f"{what}. Check that it exists and that this user may use it."
    return (
        f"Unexpected error: {_with_type(error)}. This is a fault of the program: set "
        "TENANTRY_LOG_LEVEL=debug to see where it happened, and report it."
    )


def handle_signals(handler: Callable[[int, object], None], *numbers: signal.Signals) -> None:
    """Call ``handler`` for these signals, except those that the starting program ignores, as nohup does with SIGHUP."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Imports in this block take a tenth less time: what they create stays, so there is no garbage to collect."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Parser(argparse.ArgumentParser):
    """A parser that names the nearest option when it does not know one."""

    def __init__(self, prog: str | None = None, **more: object) -> None:
        super().__init__(prog, **{"allow_abbrev": False, **more})  # type: ignore[arg-type]  # as argparse takes them

    def parse_known_args(  # type: ignore[override]  # the overloads of argparse differ in the namespace only
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse an unknown option before argparse takes its value for a command."""
        given = list(sys.argv[1:] if args is None else args)
        for argument in given:
            if argument == "--" or argument in self._command_names():
                break
            self._demand_known(argument.partition("=")[0])
        return super().parse_known_args(given, namespace)

    def _demand_known(self, option: str) -> None:
        known = self._option_string_actions
        is_option = option.startswith("-") and not option.lstrip("-")[:1].isdigit() and option != "-"
        if not is_option or option in known or (option[:2] in known and option[1] != "-"):
            return
        similar = get_close_matches(option, known, 1)
        self.error(f"there is no option {option}" + (f"; did you mean {similar[0]}?" if similar else ""))

    def _command_names(self) -> Sequence[str]:
        commands = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001  # argparse has no public way
        return [name for choices in commands for name in choices or ()]


def _checked(module: str) -> object:
    if sys.version_info < OLDEST_PYTHON:
        raise OperatorError(
            f"Tenantry needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: "
            "name a newer one, for example make .venv PYTHON=/path/to/python3.11."
        )
    with no_garbage_collection():
        return import_module(module)


def _is_ours(module: str) -> bool:
    return bool(module) and (ROOT / module.partition(".")[0]).is_dir()


def _is_from(library: str, error: BaseException) -> bool:
    """Whether the library raised it. The name is enough: importing the library might be what failed."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(error).__mro__)


def _about_postgres(error: BaseException) -> str:
    state, reason = getattr(error, "sqlstate", None), first_line(error)
    if state == "42501":
        return (
            f"The database refused it: {reason}. Log in as the owner of the database and its tables, or give the login "
            "of TENANTRY_DATABASE_URL this right (docs/operating.md, Roles)."
        )
    if state is None or state.startswith(("08", "28", "3D", "53", "57")):
        return f"The database cannot be used: {reason}. Check TENANTRY_DATABASE_URL and the server it names."
    return f"The database refused it: {reason}. Check that it is at the revision of this release (migrate)."


def _with_type(error: BaseException) -> str:
    kind, reason = type(error).__name__, first_line(error)
    return kind if reason == kind else f"{kind}: {reason}"


def _exit_code(error: Exception) -> int:
    from_server = getattr(error, "orig", None) or error
    expected = isinstance(error, ModuleNotFoundError) or _is_from("psycopg", from_server) or _is_from("redis", error)
    return REFUSED if expected else FAILED


def _wants_traceback() -> bool:
    return os.environ.get("TENANTRY_LOG_LEVEL", "").strip().lower() == "debug"
