"""What a run can do next. A message names the move it expects, so that a stale one is dropped and not obeyed."""

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
    """Nothing is left to do: end in this status."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing can be done: the run waits for a person, or has ended and has nothing to follow up."""


Move = Forward | Backward | Settle | Rest
