"""A log line ends with the fields of its event, without attributes that a library put on the record."""

import io
import logging
import re
import sys
import threading
from typing import Any, TextIO

import pytest

from runtime.logging import FieldsFormatter, SentenceHandler, configure_logging
from tests.builders import settings_with

SECRET = "tnt_0123456789abcdef"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``configure_logging`` changes for the process is as before after each test."""
    for owner, name in ((logging, "raiseExceptions"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))


def test_a_log_line_shows_the_fields_of_its_event_and_not_uvicorns_colours() -> None:
    record = logging.makeLogRecord(
        {"msg": "Started", "color_message": "Started \x1b[36m%d\x1b[0m", "cause": "a signal"}
    )

    assert FieldsFormatter("%(message)s").format(record) == "Started [cause=a signal]"


def test_a_readiness_check_leaves_no_lines_of_alembic_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # pytest keeps its handlers

    configure_logging(settings_with("postgresql://app@db/tenantry"))

    assert not logging.getLogger("alembic.runtime.migration").isEnabledFor(logging.INFO)


def test_a_field_with_line_feeds_cannot_look_like_the_next_line_of_the_log() -> None:
    record = logging.makeLogRecord({"msg": "failed", "cause": "no\r\n2026-11-30 INFO server: all is well\u2028\x1b[2J"})

    line = FieldsFormatter("%(message)s").format(record)

    assert line == r"failed [cause=no\r\n2026-11-30 INFO server: all is well\u2028\x1b[2J]"


class Failing:
    """Raises when it is deleted, which Python reports outside of the log."""

    def __del__(self) -> None:
        raise RuntimeError("of ada@acme.example")


def test_warnings_and_errors_that_nothing_receives_are_logged_with_masks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    captured: list[bool] = []
    monkeypatch.setattr(logging, "captureWarnings", captured.append)  # pytest keeps its own
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # pytest keeps its handlers
    monkeypatch.setattr(sys, "unraisablehook", None)
    configure_logging(settings_with("postgresql://app@db/tenantry"))

    failing = Failing()
    del failing

    (line,) = (FieldsFormatter("%(message)s").format(record) for record in caplog.records)
    assert "RuntimeError: of ***@acme.example" in line
    assert captured == [True]


class Unprintable:
    """A value of which Python cannot make a text."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error


class Closed(io.StringIO):
    """A standard error that a supervisor has closed."""

    def write(self, _: str) -> int:
        raise ValueError("I/O operation on closed file")


def record_of(message: object, *args: object, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("server.example", logging.WARNING, __file__, 1, message, args, None)
    vars(record).update(fields)
    return record


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (record_of("of %d", SECRET), "TypeError"),
        (record_of("of %s %s", SECRET), "TypeError"),
        (record_of("of nothing", SECRET, SECRET), "TypeError"),
        (record_of("of %(name)s", {"other": SECRET}), "KeyError"),
        (record_of("of %z", SECRET), "ValueError"),
        (record_of("of %c", b"tnt_bytes_0123456789"), "TypeError"),
        (record_of("of %s", Unprintable(RuntimeError(SECRET))), "RuntimeError"),
        (record_of(Unprintable(LookupError(SECRET))), "LookupError"),
        (record_of("of %s", Unprintable(RecursionError(SECRET))), "RecursionError"),
        (record_of("of a field", cause=Unprintable(OSError(SECRET))), "OSError"),
        (record_of(f"of \ud800 and {SECRET}"), "UnicodeEncodeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_record_that_cannot_be_written_leaves_one_sentence_without_its_values(
    record: logging.LogRecord, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.BytesIO()
    handler = handler_on(io.TextIOWrapper(written, encoding="utf-8", write_through=True))

    handler.handle(record)

    assert written.getvalue().decode() == (
        f"A log record of server.example with level WARNING cannot be written: {kind}.\n"
    )
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("message", ["all is well", "of %d"])
def test_a_closed_standard_error_raises_nothing_in_the_code_that_logs(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler_on(Closed()).handle(record_of(message, *([SECRET] if "%" in message else [])))

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("args", [(b"of ada@acme.example",), ("of \ud800 ada@acme.example",)])
def test_a_record_of_unusual_characters_is_written_with_masks(args: tuple[object, ...]) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)

    handler_on(stream).handle(record_of("failed %s", *args))

    stream.seek(0)
    assert re.fullmatch(r"failed .*of .*\*\*\*@acme\.example'?\n", stream.read())


def test_a_failing_handler_of_a_library_prints_no_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # pytest keeps its handlers
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    configure_logging(settings_with("postgresql://app@db/tenantry"))

    logging.StreamHandler(io.StringIO()).handle(record_of("of %d", SECRET))

    assert capsys.readouterr() == ("", "")


def test_a_trace_that_another_handler_has_written_is_masked() -> None:
    record = record_of("failed")
    record.exc_text = "RuntimeError: of ada@acme.example"

    assert FieldsFormatter("%(message)s").format(record).splitlines() == ["failed", "RuntimeError: of ***@acme.example"]


def test_every_handler_of_a_process_says_in_a_sentence_what_it_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(logging, "basicConfig", given.update)  # pytest keeps its handlers
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)

    configure_logging(settings_with("postgresql://app@db/tenantry"))

    assert [type(handler) for handler in given["handlers"]] == [SentenceHandler]


def handler_on(stream: TextIO) -> logging.Handler:
    handler = SentenceHandler(stream)
    handler.setFormatter(FieldsFormatter("%(message)s"))
    return handler
