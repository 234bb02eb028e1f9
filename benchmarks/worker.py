"""``python -m benchmarks.worker``: the product's worker process in an instant world. It counts its stale messages."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import adapters
from benchmarks.world import FACTS, HOLDS, FactFile, InstantWorld
from runtime.programs import run_program
from workers.actors import StepRunner

P = ParamSpec("P")
T = TypeVar("T")


class Counted:
    """Calls of a function, and how many of them returned None. Threads may lose a count; the share is what matters."""

    def __init__(self) -> None:
        self.calls = self.without_result = 0

    def counting(self, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, which is counted."""

        @wraps(function)
        def counted(*args: P.args, **kwargs: P.kwargs) -> T:
            result = function(*args, **kwargs)
            self.calls += 1
            self.without_result += result is None
            return result

        return counted


def main() -> int:
    """Work until SIGTERM, then append the numbers of messages and of stale ones to the facts."""
    facts, messages = FactFile(Path(os.environ[FACTS])), Counted()
    world = InstantWorld(facts, holds=bool(os.environ.get(HOLDS)))
    adapters.infrastructure = lambda *_: world
    # Each message begins with a claim, which finds nothing when the message is stale.
    StepRunner.claim = messages.counting(StepRunner.claim)  # type: ignore[method-assign]  # counted, and the same
    code = run_program("workers.command_line")
    facts.append("messages", str(messages.calls))
    facts.append("stale", str(messages.without_result))
    return code


if __name__ == "__main__":
    sys.exit(main())
