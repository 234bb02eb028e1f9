"""Logging to standard error: time, level, logger and message of an event, a stack trace, the ``extra`` as fields."""

import logging
import re
import sys
import threading
from typing import Final

from runtime.masking import masked
from runtime.request_ids import current_request_id
from runtime.settings import Settings

logger = logging.getLogger(__name__)

PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
NOISY: Final = ("alembic", "httpx", "httpcore", "dramatiq.worker.WorkerThread")


class FieldsFormatter(logging.Formatter):
    """Appends the ``extra`` of a record, and the id of the current request, as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines of an event with a stack trace. The fields come last. Secrets are masked."""
        if (request_id := current_request_id()) is not None:
            vars(record).setdefault("request_id", request_id)
        line = masked(super().format(record))
        fields = " ".join(f"{key}={_on_one_line(value)}" for key, value in vars(record).items() if key not in PLAIN)
        return f"{line} [{fields}]" if fields else line


def configure_logging(settings: Settings) -> None:
    """Set up logging for this process. Called once, at the start of the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for warning in settings.warnings:
        logger.warning("unsafe setting: %s", warning)
    # The defaults print to standard error themselves, with the secrets in it.
    threading.excepthook = _log_end_of_thread
    sys.unraisablehook = _log_unraisable
    logging.captureWarnings(True)  # noqa: FBT003  # the function has no name for it


def _on_one_line(value: object) -> str:
    """The value of a field, masked. What another system said cannot look like the next line of the log."""
    return CONTROL_CHARACTERS.sub(lambda found: repr(found[0])[1:-1], masked(str(value)))


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    message = unraisable.err_msg or "an error was ignored, because nothing can receive it"
    logger.error(message, exc_info=unraisable.exc_value)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is None or isinstance(ended.exc_value, SystemExit):
        return
    name = ended.thread.name if ended.thread else "unknown"
    logger.error("thread ended with an error", exc_info=ended.exc_value, extra={"thread_name": name})
