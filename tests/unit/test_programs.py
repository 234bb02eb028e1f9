"""Every program turns an unexpected error into one sentence with a way out, and names the option that was meant."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError, ProgrammingError

import adapters.kit.command_line
import devserver.command_line
import edge.__main__
import server.command_line
from adapters.registry import NoSuchFactory
from devserver.development import STOPPING, stoppable
from devserver.errors import DevserverError
from runtime.migrations import ROOT, MigrationRefused
from runtime.programs import handle_signals, in_one_sentence, run_program
from runtime.settings import SettingsRefused
from server.auth.issue import TokenRefused

PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "server": server.command_line._parser,
    "devserver": devserver.command_line._parser,
    "adapters.kit": adapters.kit.command_line._parser,
}
PROGRAMS = ["server", "workers", "devserver", "adapters.kit", "edge", "benchmarks"]


def raising(error: BaseException) -> Callable[[], int]:
    def act() -> int:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "beginning"),
    [
        (SettingsRefused("TENANTRY_X is not set."), 2, "TENANTRY_X is not set."),
        (MigrationRefused("It cannot be migrated."), 2, "It cannot be migrated."),
        (TokenRefused("No such organisation."), 2, "No such organisation."),
        (NoSuchFactory("It cannot be imported."), 2, "It cannot be imported."),
        (DevserverError("The port is taken."), 1, "The port is taken."),
        (
            OperationalError("SELECT 1", {}, psycopg.OperationalError("refused\nmore")),
            2,
            "The database cannot be used: refused.",
        ),
        (psycopg.OperationalError("refused"), 2, "The database cannot be used: refused."),
        (
            ProgrammingError(
                "CREATE TABLE secrets", {}, psycopg.errors.InsufficientPrivilege("permission denied for schema public")
            ),
            2,
            "The database refused it: permission denied for schema public. Log in as the owner",
        ),
        (
            psycopg.errors.UndefinedTable("no such table"),
            2,
            "The database refused it: no such table. Check that it is at",
        ),
        (redis.ConnectionError("refused"), 2, "The broker cannot be used: refused. Check TENANTRY_REDIS_URL"),
        (redis.exceptions.NoPermissionError("no permission"), 2, "The broker cannot be used: no permission."),
        (
            PermissionError(13, "Permission denied", "/data/lock"),
            1,
            "/data/lock cannot be used: Permission denied. Check",
        ),
        (
            ModuleNotFoundError("No module named 'psutil'", name="psutil"),
            2,
            "The package psutil is not installed in this Python",
        ),
        (
            TypeError("unsupported\n  File x"),
            1,
            "Unexpected error: TypeError: unsupported. This is a fault of the program:",
        ),
        (AssertionError(), 1, "Unexpected error: AssertionError. This is a fault"),
        (RecursionError("too deep"), 1, "Unexpected error: RecursionError: too deep."),
    ],
)
def test_an_error_becomes_one_sentence_with_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, beginning: str
) -> None:
    assert in_one_sentence(raising(error)) == code

    output = capsys.readouterr()
    assert output.err.startswith(beginning)
    assert output.err.count("\n") == 1
    assert output.out == ""


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from([ValueError, OSError, RuntimeError, KeyError, psycopg.Error, redis.RedisError, UnicodeError]),
    said=st.text(max_size=200),
)
def test_any_error_is_one_line_without_a_trace_or_a_secret(kind: type[Exception], said: str) -> None:
    errors: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stderr, "write", errors.append)
        code = in_one_sentence(raising(kind(f"{said} postgresql://app:hunter2@db/x")))

    assert code in {1, 2}
    assert len("".join(errors).splitlines()) == 1
    assert "Traceback" not in "".join(errors)
    assert "hunter2" not in "".join(errors)


def test_an_interrupted_program_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert in_one_sentence(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")


def test_the_trace_is_shown_when_it_is_asked_for_without_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_LOG_LEVEL", " Debug\n")

    in_one_sentence(raising(TypeError("postgresql://app:hunter2@db/x")))

    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last)")
    assert "hunter2" not in shown


def test_an_old_python_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))

    assert run_program("server.command_line", []) == 2
    assert capsys.readouterr().err.startswith("Tenantry needs Python 3.11 or newer, and ")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_without_its_packages_says_how_to_install_them(program: str) -> None:
    # -S: without site-packages, as a Python outside .venv.
    ended = subprocess.run(
        [sys.executable, "-S", "-m", program, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.stderr.count("\n") <= 1
    if ended.returncode:
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "is not installed in this Python" in ended.stderr
        assert "run make .venv" in ended.stderr
    else:
        assert ended.stdout.startswith("usage: ")


@pytest.mark.parametrize("arguments", [[], ["--port", "9000"], ["serve"], ["--prot=1"], ["--", "x"]], ids=" ".join)
def test_the_edge_names_the_program_that_serves_it(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code = edge.__main__.main(arguments)

    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err.startswith("The edge is a part of the API process: run python -m server serve, ")
    assert shown.err.count("\n") == 1


def options_of(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every long option, with the command that it follows."""
    for action in parser._actions:
        yield from ((before, option) for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from options_of(command, (*before, name))


OPTIONS = [
    (program, before, option)
    for program, parser in PARSERS.items()
    for before, option in options_of(parser())
    if len(option) > len("--to")
]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(OPTIONS), st.integers(0, 30), st.sampled_from(["swapped", "dropped"]))
def test_a_misspelt_option_is_refused_with_the_nearest_one(
    case: tuple[str, tuple[str, ...], str], at: int, kind: str
) -> None:
    program, before, option = case
    at = 2 + at % (len(option) - 3)
    swapped = option[:at] + option[at + 1] + option[at] + option[at + 2 :]
    wrong = swapped if kind == "swapped" else option[:at] + option[at + 1 :]
    parser = PARSERS[program]()
    if any(wrong == known for _, known in options_of(parser)):
        return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "error", refuse)
        with pytest.raises(ValueError, match=f"^there is no option {wrong}; did you mean --"):
            parser.parse_args([*before, wrong, "8"])


def refuse(_: argparse.ArgumentParser, message: str) -> None:
    raise ValueError(message)


def test_a_misspelt_option_is_not_taken_for_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        devserver.command_line.run(["--prot", "8"])

    assert "error: there is no option --prot; did you mean --port?" in capsys.readouterr().err


def test_a_signal_that_the_starting_program_ignores_stays_ignored() -> None:
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a command in the background
        with stoppable():
            hidden, handled = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
        handle_signals(lambda *_: None, signal.SIGINT)
        still_ignored = signal.getsignal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert hidden is signal.SIG_IGN
    assert still_ignored is signal.SIG_IGN
    assert callable(handled)
