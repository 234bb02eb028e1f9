"""A line of the log ends in the facts that came with it, and in nothing that a library left on the record."""

import logging

from runtime.logging import Facts


def test_facts_are_shown_and_uvicorns_colours_are_not() -> None:
    record = logging.makeLogRecord(
        {"msg": "Started", "color_message": "Started \x1b[36m%d\x1b[0m", "cause": "a signal"}
    )

    assert Facts("%(message)s").format(record) == "Started [cause=a signal]"
