"""A log line ends with the fields of its event, without attributes that a library put on the record."""

import logging

from runtime.logging import FieldsFormatter


def test_a_log_line_shows_the_fields_of_its_event_and_not_uvicorns_colours() -> None:
    record = logging.makeLogRecord(
        {"msg": "Started", "color_message": "Started \x1b[36m%d\x1b[0m", "cause": "a signal"}
    )

    assert FieldsFormatter("%(message)s").format(record) == "Started [cause=a signal]"
