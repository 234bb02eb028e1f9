"""The id of the request that is being answered, for every log line written meanwhile, also in its threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """The id of the current request or websocket operation; None outside of one."""
    return _current.get()


@contextmanager
def request_id_in_log(request_id: str) -> Iterator[None]:
    """Add this id to the log lines of the block, and of the tasks and threads that it starts."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)
