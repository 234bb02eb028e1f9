"""Logging to standard error: time, level, logger and message of an event, a stack trace, the ``extra`` as fields."""

import logging
import sys
from typing import Final

from runtime.request_ids import current_request_id
from runtime.settings import Settings

PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
NOISY: Final = ("alembic", "httpx", "httpcore", "dramatiq.worker.WorkerThread")


class FieldsFormatter(logging.Formatter):
    """Appends the ``extra`` of a record, and the id of the current request, as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines of an event with a stack trace. The fields come last."""
        if (request_id := current_request_id()) is not None:
            vars(record).setdefault("request_id", request_id)
        line = super().format(record)
        fields = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in PLAIN)
        return f"{line} [{fields}]" if fields else line


def configure_logging(settings: Settings) -> None:
    """Set up logging for this process. Called once, at the start of the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
