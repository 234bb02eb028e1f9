"""Raises an exception at one chosen line while a step runs, as Dramatiq raises its interrupts at any line."""

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Tracer = Callable[[FrameType, str, Any], Any]

RUNNER_FILES = (
    "workers/actors.py",
    "workers/kept_waits.py",
    "workers/running_steps.py",
    "provisioning/claims.py",
    "provisioning/step_journal.py",
)
"""The step runner: from the message to the record, with the short transactions of a claim."""

ALL_FILES = (
    *RUNNER_FILES,
    "provisioning/saga.py",
    "provisioning/step_context.py",
    "provisioning/steps.py",
    "provisioning/engine.py",
    "runtime/database.py",
)


class LineInterrupts:
    """Raises once, at the n-th line of these files that the thread executes.

    With ``within``, only lines of this function, and of those that it calls, count.
    """

    def __init__(self, error: BaseException, line: int, files: tuple[str, ...], *, within: str | None = None) -> None:
        self.raised_at: str | None = None
        self.error = error
        self._lines = line
        self._files = files
        self._within = within
        self._caller: FrameType | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Trace this thread for the length of the block."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Tracer | None:
        code = frame.f_code
        if self.raised_at is not None or not code.co_filename.endswith(self._files):
            return None
        if code.co_name == self._within and self._caller is None:
            self._caller = frame
        return self._step if self._within is None or self._caller is not None else None

    def _step(self, frame: FrameType, event: str, _argument: object) -> Tracer | None:
        if self.raised_at is not None:
            return None
        if event == "return" and frame is self._caller:
            self._caller = None
        if event != "line" or _is_with_exit(frame):
            return self._step
        if self._lines:
            self._lines -= 1
            return self._step
        self.raised_at = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        raise self.error


def _is_with_exit(frame: FrameType) -> bool:
    """Whether the frame is between a block and the call of its ``__exit__``.

    A tracer sees a line there, but Python raises no asynchronous exception there.
    """
    return frame.f_lasti in _exit_offsets(frame.f_code)


_exit_offsets_cache: dict[CodeType, frozenset[int]] = {}


def _exit_offsets(code: CodeType) -> frozenset[int]:
    if code not in _exit_offsets_cache:
        steps = [step for step in dis.get_instructions(code) if step.opname not in {"NOP", "CACHE", "SWAP"}]
        nothing = [step.opname == "LOAD_CONST" and step.argval is None for step in steps]
        _exit_offsets_cache[code] = frozenset(
            steps[at].offset for at in range(len(steps) - 2) if all(nothing[at : at + 3])
        )
    return _exit_offsets_cache[code]
