"""One line a fact on standard error: time, level, where, what, and the facts that came as ``extra``."""

import logging
import sys
from typing import Final

from runtime.settings import Settings

PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
NOISY: Final = ("httpx", "httpcore", "dramatiq.worker.WorkerThread")


class Facts(logging.Formatter):
    """Appends what was passed as ``extra`` as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the line, and the stack below it when there is one."""
        line = super().format(record)
        facts = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in PLAIN)
        return f"{line} [{facts}]" if facts else line


def configure_logging(settings: Settings) -> None:
    """Set up this process's log. Called once, by whoever owns the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Facts("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
