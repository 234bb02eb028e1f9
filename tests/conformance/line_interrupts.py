"""Raises an exception at one chosen line, as Dramatiq raises its interrupts: anywhere, while a step is run."""

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Tracer = Callable[[FrameType, str, Any], Any]

RUNNER = ("workers/actors.py", "workers/running_steps.py", "provisioning/claims.py", "provisioning/step_journal.py")
"""The step runner: from the message to the record, but for what happens inside a transaction."""

EVERYTHING = (
    *RUNNER,
    "provisioning/saga.py",
    "provisioning/step_context.py",
    "provisioning/steps.py",
    "provisioning/engine.py",
    "provisioning/claims.py",
    "runtime/database.py",
)


class LineInterrupts:
    """Strikes once, at the n-th line of these files that the thread comes to."""

    def __init__(self, error: BaseException, line: int, files: tuple[str, ...]) -> None:
        self.struck: str | None = None
        self.error = error
        self._lines = line
        self._files = files

    @contextmanager
    def strikes(self) -> Iterator[None]:
        """Be there for the length of the block, on this thread."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Tracer | None:
        return self._step if self.struck is None and frame.f_code.co_filename.endswith(self._files) else None

    def _step(self, frame: FrameType, event: str, _argument: object) -> Tracer | None:
        if self.struck is not None:
            return None
        if event != "line" or _leaves_a_with(frame):
            return self._step
        if self._lines:
            self._lines -= 1
            return self._step
        self.struck = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        raise self.error


def _leaves_a_with(frame: FrameType) -> bool:
    """Between a block and the call of its ``__exit__``. A debugger sees a line there; Python delivers nothing there."""
    return frame.f_lasti in _exits(frame.f_code)


_known: dict[CodeType, frozenset[int]] = {}


def _exits(code: CodeType) -> frozenset[int]:
    if code not in _known:
        steps = [step for step in dis.get_instructions(code) if step.opname not in {"NOP", "CACHE", "SWAP"}]
        nothing = [step.opname == "LOAD_CONST" and step.argval is None for step in steps]
        _known[code] = frozenset(steps[at].offset for at in range(len(steps) - 2) if all(nothing[at : at + 3]))
    return _known[code]
