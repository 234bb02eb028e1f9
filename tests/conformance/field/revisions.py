"""Other releases' lists of steps, for a product that is upgraded while runs are under way."""

from collections.abc import Callable

from provisioning.saga import Saga


def uninterruptible(saga: Saga) -> None:
    """One step must not be left before it is done."""
    saga["allocate_identity"].interruptible = False


def pivot_only(saga: Saga) -> None:
    """Nothing but the point of no return, for races by the thousand."""
    for name in [step.name for step in saga if step.name != "mark_active"]:
        del saga._steps[name]


ALL: dict[str, Callable[[Saga], None]] = {revision.__name__: revision for revision in (uninterruptible, pivot_only)}
