"""What a scenario of the manifest is, and the list of all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from dataclasses import field as made
from functools import partial
from itertools import count

from tests.conformance.effort import FULL
from tests.conformance.field.director import Hold
from tests.conformance.field.invariant_checker import SETTLED_WITHIN, InvariantChecker
from tests.conformance.field.people import Caller, Cast, Saga, cast_in
from tests.conformance.field.processes import Field, Wishes, laid_out

EVERYBODY = 1_000_000
"""Moments that a place may halt before the run that is meant has an id."""


@dataclass
class Play:
    """What a scenario gets: a field, an organisation of its own on it, and a witness."""

    field: Field
    cast: Cast
    checker: InvariantChecker
    numbers: Iterator[int] = made(default_factory=partial(count, 1))

    @property
    def owner(self) -> Caller:
        """Whoever does things when it does not matter who."""
        return self.cast.owner

    @property
    def hurried(self) -> bool:
        """Whether a few will do: in the selection of ``make test``, and where a protection is missing."""
        return not FULL or bool(self.field.wishes.without)

    def many(self, whole: int, *, hurried: int = 12) -> int:
        """So many when everything is to be proved, a few otherwise."""
        return hurried if self.hurried else whole

    def some(self, things: Sequence[str]) -> Sequence[str]:
        """All of them when everything is to be proved, two otherwise."""
        return things[1:3] if self.hurried else things

    def within(self, seconds: float, *, in_vain: float = 15.0) -> float:
        """A deadline; a short one where a protection is missing, since waiting is in vain there."""
        return in_vain if self.field.wishes.without else seconds

    def create(self, **wanted: object) -> Saga:
        """One more tenant on its way."""
        return self.owner.create(f"t{next(self.numbers)}", **wanted)

    def create_halting(
        self, where: str, *, step: str = "", patient: bool = False, **wanted: object
    ) -> tuple[Saga, Hold]:
        """One more tenant on its way, whose own run halts at this place: no other run's, and no earlier message."""
        hold = self.field.director.hold(where, step=step, patient=patient, times=EVERYBODY)
        saga = self.create(**wanted)
        hold.only(saga.run_id)
        return saga, hold

    def cancel(self, saga: Saga, by: Caller | None = None, **wanted: object) -> bool:
        """Cancel, and have the witness remember the answer; whether it was accepted."""
        caller = by or self.owner
        return self.checker.heard(saga, caller.cancel(saga, **wanted), caller.name)

    def settle(self, within: float = SETTLED_WITHIN) -> dict[str, int]:
        """Wait until everything has its end, and hold it against every invariant."""
        self.field.director.clear()
        self.checker.await_settled(within)
        return dict(self.checker.inspect())


STANDARD = Wishes()
Tell = Callable[[Play], str]


@dataclass(frozen=True)
class Scenario:
    """A line of the manifest: told to a field, it gives the figure of its row, or raises AssertionError."""

    id: str
    tell: Tell
    wishes: Wishes
    mutant: str
    breaks: tuple[str, ...]
    """The invariants that do not hold without the protection, as far as somebody sees who may only look.

    Where there are several, it is a matter of moments which of them is seen to break first.
    """
    alone: bool
    """Whether it must have the machine for itself, because it measures or because it is a storm."""
    quick: bool
    """Whether it belongs to the selection of ``make test``."""


MANIFEST: dict[str, Scenario] = {}


def scenario(
    *, without: str, breaks: str | tuple[str, ...], wishes: Wishes = STANDARD, alone: bool = False, quick: bool = False
) -> Callable[[Tell], Tell]:
    """Put a function on the manifest under its own name. ``without`` that protection ``breaks`` is broken."""

    def declare(tell: Tell) -> Tell:
        assert tell.__name__ not in MANIFEST, f"{tell.__name__} is declared twice"
        broken_ones = (breaks,) if isinstance(breaks, str) else breaks
        MANIFEST[tell.__name__] = Scenario(tell.__name__, tell, wishes, without, broken_ones, alone, quick)
        return tell

    return declare


@dataclass
class Fields:
    """Fields that are kept from scenario to scenario. One that saw a failure is torn down."""

    open: dict[Wishes, tuple[Field, object]] = made(default_factory=dict)

    @contextmanager
    def play(self, one: Scenario) -> Iterator[Play]:
        """A field as the scenario wishes, with an organisation of its own."""
        if one.wishes not in self.open:
            self.close()
            context = laid_out(one.wishes)
            self.open[one.wishes] = (context.__enter__(), context)
        principal, _ = self.open[one.wishes]
        try:
            cast = cast_in(principal)
            yield Play(principal, cast, InvariantChecker(cast))
            principal.director.clear()
            principal.keep_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Tear everything down."""
        while self.open:
            _, (_, context) = self.open.popitem()
            context.__exit__(None, None, None)  # type: ignore[attr-defined]  # a context manager's own type is private


@contextmanager
def broken(one: Scenario) -> Iterator[Play]:
    """A field without the scenario's protection."""
    with laid_out(replace(one.wishes, without=one.mutant)) as principal:
        cast = cast_in(principal)
        yield Play(principal, cast, InvariantChecker(cast))
