"""A saga: ordered steps with their compensations, and a pivot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from models import StepRole, Tenant
from provisioning.step_context import StepContext


@dataclass(frozen=True, slots=True)
class Done:
    """The step reached its goal; for a compensation: everything is confirmed absent."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Nothing is wrong, look again later. No thread waits meanwhile."""

    after: timedelta


Outcome = Done | NotYet


Action = Callable[[StepContext], Outcome | None]


def nothing_held(_: StepContext) -> None:
    """The compensation of a step that takes nothing of its own."""


@dataclass(eq=False)
class Step:
    """One named unit of a saga and what undoes it."""

    name: str
    title: str
    role: StepRole
    action: Action
    timeout: timedelta
    attempts: int
    interruptible: bool = True
    undo: Action = nothing_held
    retired: bool = False

    def compensation(self, undo: Action) -> Action:
        """Declare what undoes this step: idempotent, safe if it never ran, done only when absence is confirmed."""
        self.undo = undo
        return undo


class UnknownStep(LookupError):
    """A run was planned with a step that this release does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"This release has no step called {name!r}: deploy one that has.")
        self.name = name


class Saga:
    """Ordered steps, a pivot, and what follows it."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        self._go_live: Callable[[Tenant], None] | None = None

    def __iter__(self) -> Iterator[Step]:
        """What a run that begins now is planned with."""
        return (step for step in self._steps.values() if not step.retired)

    def __getitem__(self, name: str) -> Step:
        """The step of this name, also one that is retired. Raises UnknownStep."""
        try:
            return self._steps[name]
        except KeyError:
            raise UnknownStep(name) from None

    def step(
        self, title: str, *, timeout: timedelta, attempts: int, interruptible: bool = True
    ) -> Callable[[Action], Step]:
        """Declare the next step. ``timeout`` bounds one attempt; ``attempts`` are counted before they start."""
        return self._declare(title, StepRole.STEP, timeout, attempts, interruptible=interruptible)

    def retired(self, step: Step) -> Step:
        """Plan this step no more. Runs that were planned with it still find it, forward and to undo it."""
        assert step.role is StepRole.STEP, f"{step.name} cannot be retired: no run goes without its role"
        step.retired = True
        return step

    def pivot(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Callable[[Tenant], None]], Step]:
        """Declare the point of no return: it acts on the tenant's row, in the transaction that ends the run."""

        def declare(go_live: Callable[[Tenant], None]) -> Step:
            self._go_live = go_live
            step = Step(go_live.__name__, title, StepRole.PIVOT, nothing_held, timeout, attempts, interruptible=False)
            return self._add(step)

        return declare

    def afterwards(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare what follows the pivot: best effort, it never blocks or fails the tenant."""
        return self._declare(title, StepRole.AFTERWARDS, timeout, attempts, interruptible=False)

    def confirmation(self, title: str, *, timeout: timedelta, attempts: int) -> Callable[[Action], Step]:
        """Declare what follows the undo: it asks outside whether everything is gone. The run has ended by then."""
        return self._declare(title, StepRole.CONFIRMATION, timeout, attempts, interruptible=False)

    def compensate_every_step(self, ctx: StepContext, *, except_for: frozenset[str]) -> None:
        """Every compensation but those of the named steps, last step first. Each is safe if its step never ran.

        Retired steps are undone too: the run may have been planned with them. One that fails does not keep the others
        from being tried; then the first failure is raised. Raises StepStopped when the step was told to stop.
        """
        failures = []
        for step in reversed(self._steps.values()):
            if step.role is StepRole.STEP and step.name not in except_for:
                try:
                    step.undo(ctx)
                except Exception as failure:  # noqa: BLE001  # raised below, once all were tried
                    ctx.checkpoint()
                    failures.append(failure)
        if failures:
            raise failures[0]

    def go_live(self, tenant: Tenant) -> None:
        """Take the tenant over the pivot."""
        assert self._go_live is not None, "a saga has a pivot"
        self._go_live(tenant)

    def _declare(
        self, title: str, role: StepRole, timeout: timedelta, attempts: int, *, interruptible: bool
    ) -> Callable[[Action], Step]:
        def declare(action: Action) -> Step:
            return self._add(Step(action.__name__, title, role, action, timeout, attempts, interruptible))

        return declare

    def _add(self, step: Step) -> Step:
        assert step.name not in self._steps, f"{step.name} is declared twice"
        self._steps[step.name] = step
        return step
