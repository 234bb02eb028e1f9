"""A saga: ordered steps with their compensations, and a pivot."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from models import StepRole
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepContext, TenantFacts


@dataclass(frozen=True, slots=True)
class Done:
    """The step has reached its goal. For a compensation: the resources are confirmed absent.

    ``parts_done`` is set for a step with parts: its last part is recorded together with this outcome.
    """

    parts_done: int | None = None


@dataclass(frozen=True, slots=True)
class NotYet:
    """The step has not reached its goal yet: poll again after this time. No thread waits meanwhile."""

    after: timedelta


@dataclass(frozen=True, slots=True)
class PartDone:
    """So many parts of the step are done. The next follows at once, after this is on record."""

    parts: int


Outcome = Done | NotYet | PartDone


Action = Callable[[StepContext], Outcome | None]


@dataclass(frozen=True, slots=True)
class Takes:
    """A resource that a step takes. Its name derives from the run, so it is in the ledger before the step begins."""

    kind: str
    name: Callable[[ResourceNames, TenantFacts], str]


UNDO_ATTEMPTS = 20
"""Attempts of a compensation before the run is STUCK, unless the step declares its own. With failures that come at once
they last for about a quarter of an hour."""

UNDO_TIME_LIMIT = timedelta(minutes=30)
"""How long after its first failed attempt a compensation may begin another, unless the step declares its own time."""


def do_nothing(_: StepContext) -> None:
    """The compensation of a step that takes no resource."""


@dataclass(eq=False)
class Step:
    """One named unit of a saga with its compensation."""

    name: str
    title: str
    role: StepRole
    action: Action
    timeout: timedelta
    attempts: int
    interruptible: bool = True
    undo_timeout: timedelta | None = None
    undo_attempts: int = UNDO_ATTEMPTS
    undo_time_limit: timedelta = UNDO_TIME_LIMIT
    undo: Action = do_nothing
    takes: Sequence[Takes] = ()
    retired: bool = False

    def compensation(self, undo: Action) -> Action:
        """Declare the compensation of this step.

        It must be idempotent, safe if the step never ran, and done only when the resources are confirmed absent.
        """
        self.undo = undo
        return undo


class UnknownStep(LookupError):
    """A run was planned with a step that this release does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"This release has no step {name!r}: deploy a release that has it.")
        self.name = name


class Saga:
    """Steps in order, a pivot, and the steps that follow the run's end."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def __iter__(self) -> Iterator[Step]:
        """The steps of a run that begins now."""
        return (step for step in self._steps.values() if not step.retired)

    def __getitem__(self, name: str) -> Step:
        """The step with this name, including retired ones. Raises UnknownStep."""
        try:
            return self._steps[name]
        except KeyError:
            raise UnknownStep(name) from None

    def step(
        self,
        title: str,
        *,
        timeout: timedelta,
        attempts: int,
        undo_timeout: timedelta | None = None,
        undo_attempts: int = UNDO_ATTEMPTS,
        undo_time_limit: timedelta = UNDO_TIME_LIMIT,
        interruptible: bool = True,
        takes: Sequence[Takes] = (),
    ) -> Callable[[Action], Step]:
        """Declare the next step. ``timeout`` bounds one attempt; ``attempts`` are counted before they start.

        ``takes`` are the resources that it takes or may take: they are written into the ledger with its begin.

        ``undo_timeout`` and ``undo_attempts`` are the same for its compensation. Without its own timeout a compensation
        has that of the step. No further attempt to undo begins later than ``undo_time_limit`` after the first failed.
        """

        def declare(action: Action) -> Step:
            step = Step(action.__name__, title, StepRole.STEP, action, timeout, attempts, interruptible)
            step.undo_timeout, step.undo_attempts = undo_timeout, undo_attempts
            step.undo_time_limit, step.takes = undo_time_limit, takes
            return self._add(step)

        return declare

    def takes(self, step: str, names: ResourceNames, tenant: TenantFacts) -> list[tuple[str, str]]:
        """Kinds and names of the resources that a step takes in a run. None for a step of another release."""
        known = self._steps.get(step)
        return [(taken.kind, taken.name(names, tenant)) for taken in known.takes] if known else []

    def retired(self, step: Step) -> Step:
        """Exclude the step from new runs. Runs that were planned with it can still perform and compensate it."""
        assert step.role is StepRole.STEP, f"{step.name} cannot be retired: every run needs a step with its role"
        step.retired = True
        return step

    def pivot(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare the point of no return: the run ends with it, and the tenant becomes ACTIVE in the same statement."""
        return self._declare(title, StepRole.PIVOT, timeout, attempts)

    def afterwards(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare a step after the pivot. It is best effort: its failure does not change the tenant."""
        return self._declare(title, StepRole.AFTERWARDS, timeout, attempts)

    def confirmation(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare the absence check, which probes the adapters after the run was undone and has ended."""
        return self._declare(title, StepRole.CONFIRMATION, timeout, attempts)

    def compensate_every_step(self, ctx: StepContext, *, except_for: frozenset[str]) -> None:
        """Run every compensation except those of the named steps, the last step first.

        A compensation is safe if its step never ran. Retired steps are compensated too: the run may have been planned
        with them. After a failure the remaining compensations are still run, then the first failure is raised. Raises
        StepStopped if the step has to stop.
        """
        failures = []
        for step in reversed(self._steps.values()):
            if step.role is StepRole.STEP and step.name not in except_for:
                try:
                    step.undo(ctx)
                except Exception as failure:  # noqa: BLE001  # raised below, after the other compensations
                    ctx.checkpoint()
                    failures.append(failure)
        if failures:
            raise failures[0]

    def _declare(self, title: str, role: StepRole, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        def declare(action: Action) -> Step:
            return self._add(Step(action.__name__, title, role, action, timeout, attempts, interruptible=False))

        return declare

    def _add(self, step: Step) -> Step:
        assert step.name not in self._steps, f"{step.name} is declared twice"
        self._steps[step.name] = step
        return step
