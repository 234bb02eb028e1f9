"""Whatever breaks, in whatever order: everything ends right, and nothing is held where nothing may be held."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast
from uuid import UUID

import pytest
from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded
from hypothesis import HealthCheck, Phase, note
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from runtime.database import Database
from runtime.settings import Settings
from tests.conformance import mutants
from tests.conformance.effort import FULL
from tests.conformance.flaky_infrastructure import CALLS, Trouble
from tests.conformance.invariant_checker import SEEN
from tests.conformance.nemesis import Strike
from tests.conformance.simulation import Simulation
from tests.conformance.virtual_worker import Owner


@dataclass(frozen=True)
class Tale:
    """How many examples there are, of how many rules each, after how many moves in peace."""

    examples: int
    rules: int
    peace: int


SHORT, LONG = (Tale(250, 6, 6), Tale(20, 50, 10)) if FULL else (Tale(66, 4, 6), Tale(4, 40, 10))
TALES = [SHORT] * (8 if FULL else 3) + [LONG] * 2
"""Shared out, so that several processes can take part. Most faults need few rules; some only show after many."""

WHICH = st.integers(0, 5)
WHO = st.integers(0, 2)
BREATHS = st.integers(0, 14)
SLUGS = st.sampled_from(["shop", "blog", "wiki"])
REQUESTS = st.sampled_from(["retry", "decommission", "recreate", "suspend", "resume"])
INTERRUPTS: st.SearchStrategy[type[Interrupt]] = st.sampled_from([Shutdown, TimeLimitExceeded])

Action = Callable[..., None]


def act(**wanted: st.SearchStrategy[Any]) -> Callable[[Action], Action]:
    """A rule after which everything must hold. An invariant of Hypothesis' own would print a line each time."""

    def decorate(action: Action) -> Action:
        @wraps(action)
        def and_look(machine: "Machine", **given: Any) -> None:
            action(machine, **given)
            machine.play.check()

        # Hypothesis' overloads have no case for strategies that are handed on.
        ruled = cast("Callable[..., Callable[[Action], Action]]", rule)
        return ruled(**wanted)(and_look)

    return decorate


class Machine(RuleBasedStateMachine):
    """What may happen. ``play`` tells each of it as one line of the story that a failing example prints."""

    database: Database
    settings: Settings
    peace: int

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        live = data.draw(st.sampled_from([False, False, True]))
        moves = data.draw(st.integers(0, self.peace))
        self.play = Simulation(self.database, self.settings, note)
        self.play.create("shop", start=True, by=self.play.people[0])
        if live:
            self.play.play_on()
            self.play.create("blog", start=True, by=self.play.people[1])
        self.play.play_on(moves)
        if data.draw(st.booleans()):
            # Left to chance, one run in ten would meet a cancel.
            self.play.cancel(self.play.tenants[-1], self.play.people[2], heard=False)

    def teardown(self) -> None:
        if not hasattr(self, "play"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.play.end()
                self.play.provision_again()
        finally:
            self.play.close()

    @precondition(lambda self: len(self.play.tenants) < 4)
    @act(slug=SLUGS, start=st.booleans(), who=WHO)
    def somebody_creates_a_tenant(self, slug: str, start: bool, who: int) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.play.create(slug, start=start, by=self.play.people[who])

    @act(which=WHICH, who=WHO, heard=st.booleans())
    def somebody_cancels(self, which: int, who: int, heard: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.play.cancel(self._tenant(which), self.play.people[who], heard=heard)

    @act(what=REQUESTS, which=WHICH, who=WHO)
    def somebody_asks(self, what: str, which: int, who: int) -> None:
        self.play.manage(what, self._tenant(which), self.play.people[who])

    @act(which=WHICH, who=WHO, skip=st.booleans())
    def somebody_resumes_an_undo(self, which: int, who: int, skip: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.play.resume_undo(self._tenant(which), self.play.people[who], skip=skip)

    @act()
    def workers_do_all_there_is(self) -> None:
        self.play.play_on()

    @act(moves=st.integers(1, 12))
    def workers_go_on(self, moves: int) -> None:
        self.play.play_on(moves)

    @precondition(lambda self: self.play.messages)
    @act(which=WHICH, keep=st.booleans(), breaths=BREATHS)
    def a_worker_pauses(self, which: int, keep: bool, breaths: int) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.play.take(self._message(which), keep=keep, breaths=breaths)

    @precondition(lambda self: self.play.messages)
    @act(which=WHICH, keep=st.booleans(), breaths=BREATHS)
    def a_worker_is_killed(self, which: int, keep: bool, breaths: int) -> None:  # noqa: FBT001  # Hypothesis' choice
        owner = self.play.take(self._message(which), keep=keep, breaths=breaths)
        if not owner.over:
            self.play.kill(owner)

    @precondition(lambda self: self.play.messages)
    @act(which=WHICH, breaths=BREATHS, interrupt=INTERRUPTS)
    def a_worker_is_interrupted(self, which: int, breaths: int, interrupt: type[Interrupt]) -> None:
        owner = self.play.take(self._message(which), breaths=breaths)
        if not owner.over:
            self.play.go_on(owner, order=interrupt())

    @precondition(lambda self: self.play.owners)
    @act(which=WHICH, breaths=BREATHS, late=st.booleans())
    def a_paused_worker_goes_on(self, which: int, breaths: int, late: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        owner = self._owner(which)
        if late:
            self.play.lapse(owner.run_id)
        self.play.go_on(owner, breaths)

    @precondition(lambda self: self.play.owners)
    @act(which=WHICH)
    def a_slow_worker_renews_its_lease(self, which: int) -> None:
        self.play.beat(self._owner(which))

    @precondition(lambda self: self.play.owners)
    @act(which=WHICH)
    def a_worker_shuts_down(self, which: int) -> None:
        self.play.shut_down(self._owner(which))

    @act()
    def every_lease_lapses(self) -> None:
        self.play.lapse()

    @act(long=st.booleans())
    def time_passes(self, long: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.play.wait()
        if long:
            self.play.wait_long()
        self.play.sweep()

    @act(which=WHICH)
    def a_deadline_passes(self, which: int) -> None:
        self.play.pass_deadline(self._tenant(which))
        self.play.sweep()

    @act()
    def the_broker_loses_everything(self) -> None:
        self.play.messages.clear()

    @act(strikes=st.lists(st.sampled_from(Strike), min_size=1, max_size=3))
    def postgres_gives_up(self, strikes: list[Strike]) -> None:
        self.play.nemesis.strikes[:] = strikes

    @act(call=st.sampled_from(CALLS), trouble=st.sampled_from(Trouble))
    def trouble_brews(self, call: str, trouble: Trouble) -> None:
        self.play.weather.troubles.setdefault(call, []).append(trouble)

    @precondition(lambda self: self.play.weather.in_flight)
    @act(which=WHICH)
    def a_late_call_lands(self, which: int) -> None:
        self.play.land(which % len(self.play.weather.in_flight))

    def _tenant(self, which: int) -> UUID:
        return self.play.tenants[which % len(self.play.tenants)]

    def _owner(self, which: int) -> Owner:
        return self.play.owners[which % len(self.play.owners)]

    def _message(self, which: int) -> int:
        return which % len(self.play.messages)


@pytest.mark.parametrize("share", range(len(TALES)))
def test_whatever_breaks_everything_ends_right(
    stories: Database, ground: Settings, share: int, record_property: Callable[[str, object], None]
) -> None:
    tale, before = TALES[share], Counter(SEEN)

    tell(stories, ground, tale, name=f"Machine{share}")

    ended = Counter(SEEN) - before
    record_property("figure", f"{tale.examples} examples of up to {tale.rules} rules; runs that ended: {dict(ended)}")
    assert {"CANCELLED", "SUCCEEDED"} <= set(ended), "a simulation in which nothing happens proves nothing"


def test_a_failing_example_is_told_as_a_story(
    stories: Database, ground: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants.no_reverse_order(monkeypatch)

    with pytest.raises(AssertionError, match=r"^V3: ") as failure:
        tell(stories, ground, Tale(20, 6, 6), name="Broken", derandomize=True, phases=[Phase.generate])

    story = failure.value.__notes__
    assert any(line.startswith("Olga Operator asks to create: shop is PROVISIONING") for line in story)
    assert any(line.startswith("worker 1 (forward validate_request): is done") for line in story)


def tell(database: Database, settings: Settings, tale: Tale, *, name: str, **wanted: Any) -> None:
    """Try so many examples. Those that everybody can repeat differ by the name of the machine."""
    machine = type(name, (Machine,), {"database": database, "settings": settings, "peace": tale.peace})
    # A gate must not fall shut by chance; the full proof looks further every time.
    chosen = {"derandomize": not FULL, "print_blob": FULL} | wanted
    run_state_machine_as_test(
        machine,
        settings=profile(
            max_examples=tale.examples,
            stateful_step_count=tale.rules,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            **chosen,
        ),
    )
