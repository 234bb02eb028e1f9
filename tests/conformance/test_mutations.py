"""Every protection is needed: one short story each, true of the product and untrue without that protection."""

from collections.abc import Callable

import pytest

from models import RunStatus
from provisioning.moves import Backward, Forward
from runtime.database import Database
from runtime.settings import Settings
from tests.conformance import mutants
from tests.conformance.mutants import Breakage
from tests.conformance.simulation import Simulation
from tests.conformance.test_exhaustive import die_of
from tests.conformance.virtual_worker import Owner

Story = Callable[[Simulation], None]


def a_paused_worker_comes_back_after_another_did_its_step(play: Simulation) -> None:
    paused = halted(play, "allocate_identity", "before record")
    play.lapse()
    play.sweep()
    play.take(0)
    play.check()
    play.go_on(paused)


def a_doubled_message_meets_a_worker_at_work(play: Simulation) -> None:
    play.play_until(Forward("allocate_identity"))
    copy = play.messages[0]
    play.take(0, breaths=2)
    play.messages.append(copy)
    play.take(0)


def a_message_from_before_a_cancel_arrives_after_it(play: Simulation) -> None:
    play.play_until(Forward("allocate_identity"))
    stale = play.messages.pop(0)
    cancel(play)
    play.messages[:] = [stale]
    play.take(0)


def a_forward_call_arrives_after_the_undo(play: Simulation) -> None:
    paused = halted(play, "allocate_identity", "before identity.create")
    play.lapse()
    cancel(play)
    play.play_on()
    play.go_on(paused)


def a_worker_is_killed_right_after_it_created_something(play: Simulation) -> None:
    play.kill(halted(play, "allocate_identity", "after identity.create"))


def the_broker_forgets_everything(play: Simulation) -> None:
    play.play_until(Forward("allocate_identity"))
    play.messages.clear()


def a_run_is_cancelled_midway(play: Simulation) -> None:
    play.play_until(Forward("apply_schema"))
    cancel(play)


def a_step_kills_everybody_who_tries_it(play: Simulation) -> None:
    play.play_until(Forward("deploy_workloads"))
    die_of(play, Forward("deploy_workloads"))


def an_undo_kills_everybody_who_tries_it(play: Simulation) -> None:
    play.play_until(Forward("deploy_workloads"))
    cancel(play)
    play.play_until(Backward("allocate_traffic"))
    die_of(play, Backward("allocate_traffic"))
    assert [run.status for run in play.live_runs()] == [RunStatus.STUCK]


TABLE: list[tuple[Breakage, Story, str]] = [
    (mutants.no_token_check, a_paused_worker_comes_back_after_another_did_its_step, "V9"),
    (mutants.no_due_time_in_the_claim, a_doubled_message_meets_a_worker_at_work, "V9"),
    (mutants.no_status_in_the_claim, a_message_from_before_a_cancel_arrives_after_it, "V6"),
    (mutants.no_tombstones, a_forward_call_arrives_after_the_undo, "V2"),
    (mutants.no_intention_in_the_ledger, a_worker_is_killed_right_after_it_created_something, "V2"),
    (mutants.no_sweeper, the_broker_forgets_everything, "V8"),
    (mutants.no_reverse_order, a_run_is_cancelled_midway, "V3"),
    (mutants.no_count_before_the_attempt, a_step_kills_everybody_who_tries_it, "V13"),
    (mutants.no_count_before_the_undo, an_undo_kills_everybody_who_tries_it, "V13"),
]


def _name(one: Callable[..., None] | str) -> str:
    return one if isinstance(one, str) else one.__name__


def told(database: Database, settings: Settings, story: Story) -> None:
    """Tell a story to its end. Raises AssertionError when an invariant is broken on the way."""
    play = Simulation(database, settings)
    play.create("shop", start=True, by=play.people[0])
    try:
        story(play)
        play.check()
        play.end()
    finally:
        play.close()


@pytest.mark.parametrize("story", [story for _, story, _ in TABLE], ids=_name)
def test_the_story_ends_well(stories: Database, ground: Settings, story: Story) -> None:
    told(stories, ground, story)


@pytest.mark.parametrize(("breakage", "story", "broken_rule"), TABLE, ids=_name)
def test_the_story_ends_badly_without_its_protection(
    stories: Database,
    ground: Settings,
    monkeypatch: pytest.MonkeyPatch,
    breakage: Breakage,
    story: Story,
    broken_rule: str,
) -> None:
    breakage(monkeypatch)

    with pytest.raises(AssertionError, match=rf"^{broken_rule}: "):
        told(stories, ground, story)


def halted(play: Simulation, step: str, where: str) -> Owner:
    """A worker that stands still at this moment of this step."""
    play.play_until(Forward(step))
    owner = play.take(0, breaths=0)
    while owner.where != where:
        play.go_on(owner, breaths=0)
    return owner


def cancel(play: Simulation) -> None:
    play.cancel(play.tenants[0], play.people[0], heard=False)
