"""A log line ends with the fields of its event, without attributes that a library put on the record."""

import logging

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
