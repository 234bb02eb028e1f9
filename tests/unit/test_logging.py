"""A log line ends with the fields of its event, without attributes that a library put on the record."""

import logging
import sys

import pytest

from runtime.logging import FieldsFormatter, configure_logging
from tests.builders import settings_with


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
