"""The moves of a run. A message names the move that it expects, so that a stale message is dropped."""

from dataclasses import dataclass

from models import RunStatus


@dataclass(frozen=True, slots=True)
class Forward:
    """Perform this step."""

    step: str


@dataclass(frozen=True, slots=True)
class Backward:
    """Perform this step's compensation."""

    step: str


@dataclass(frozen=True, slots=True)
class Settle:
    """No step is left: end the run in this status."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class Rest:
    """No move is possible: the run waits for an operator, or it has ended and has no follow-up."""


Move = Forward | Backward | Settle | Rest
