"""Logging to standard error: time, level, logger and message of an event, a stack trace, the ``extra`` as fields."""

import logging
import re
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO
from uuid import UUID

from runtime.masking import masked
from runtime.request_ids import current_request_id
from runtime.settings import Settings

if TYPE_CHECKING:
    from logging import _SysExcInfoType as SysExcInfoType

logger = logging.getLogger(__name__)

PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
SAFE: Final = (int, float, UUID)
"""Types of values in which there is nothing to mask."""

CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
NOISY: Final = ("alembic", "httpx", "httpcore", "dramatiq.worker.WorkerThread")


class FieldsFormatter(logging.Formatter):
    """Appends the ``extra`` of a record, and the id of the current request, as key=value. Secrets are masked."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines of an event with a stack trace. The fields come last."""
        if (request_id := current_request_id()) is not None:
            vars(record).setdefault("request_id", request_id)
        if record.exc_text:
            record.exc_text = masked(record.exc_text)  # another handler has written the stack trace
        line = super().format(record)
        fields = " ".join([f"{key}={_on_one_line(value)}" for key, value in vars(record).items() if key not in PLAIN])
        return f"{line} [{fields}]" if fields else line

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # as the base class names it
        """Return the first line. Only the message can have a secret: the rest is written by Python."""
        record.message = masked(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: "SysExcInfoType") -> str:  # noqa: N802  # as the base class names it
        """Return the stack trace, which the record keeps for other handlers."""
        return masked(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # as the base class names it
        """Return the stack of an event without an error."""
        return masked(super().formatStack(stack_info))


class SentenceHandler(logging.StreamHandler[TextIO]):
    """A handler that says in one sentence that it cannot write a record.

    Python would print the record with its arguments, with the secrets in it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. No record raises an error in the code that logs."""
        try:
            super().emit(record)
        except RecursionError:  # the one error that the base class passes on
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # as the base class names it
        """Write the sentence, unless nothing can be written."""
        kind = type(sys.exception()).__name__
        sentence = f"A log record of {record.name} with level {record.levelname} cannot be written: {kind}.\n"
        with suppress(Exception):
            self.stream.write(masked(sentence))
            self.flush()


def configure_logging(settings: Settings) -> None:
    """Set up logging for this process. Called once, at the start of the process."""
    handler = SentenceHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for warning in settings.warnings:
        logger.warning("unsafe setting: %s", warning)
    # The defaults print to standard error themselves, with the secrets in it.
    logging.raiseExceptions = False  # for the handlers of libraries
    threading.excepthook = _log_end_of_thread
    sys.unraisablehook = _log_unraisable
    logging.captureWarnings(True)  # noqa: FBT003  # the function has no name for it


def _on_one_line(value: object) -> str:
    """The value of a field, masked. What another system said cannot look like the next line of the log."""
    if isinstance(value, SAFE):
        return str(value)
    return CONTROL_CHARACTERS.sub(lambda found: repr(found[0])[1:-1], masked(str(value)))


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    message = unraisable.err_msg or "an error was ignored, because nothing can receive it"
    logger.error(message, exc_info=unraisable.exc_value)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is None or isinstance(ended.exc_value, SystemExit):
        return
    name = ended.thread.name if ended.thread else "unknown"
    logger.error("thread ended with an error", exc_info=ended.exc_value, extra={"thread_name": name})
