"""At whatever moment a worker ends, in whatever step and direction: the run ends right, once, and nothing is held."""

from collections.abc import Callable, Sequence
from itertools import count

import pytest
from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded

from models import RunStatus
from provisioning.moves import Backward, Forward
from runtime.database import Database
from runtime.settings import Settings
from tests.conformance.effort import FULL
from tests.conformance.line_interrupts import EVERYTHING, RUNNER, LineInterrupts
from tests.conformance.nemesis import Strike
from tests.conformance.simulation import Simulation
from tests.scenarios import MAIL, PIVOT, UP_TO_THE_PIVOT

RecordProperty = Callable[[str, object], None]

UNDOABLE = UP_TO_THE_PIVOT if FULL else ["deploy_workloads"]
STEPS = [*UP_TO_THE_PIVOT, MAIL] if FULL else [PIVOT]
MOVES: list[Forward | Backward] = (
    [*map(Forward, [*UP_TO_THE_PIVOT, MAIL]), *map(Backward, UP_TO_THE_PIVOT)]
    if FULL
    else [Forward("validate_request"), Backward("allocate_storage")]
)

Route = Sequence[Forward | Backward]
WAY_OUT: Route = [*map(Forward, [*UP_TO_THE_PIVOT, MAIL])]
WAY_BACK: Route = [*map(Backward, reversed(UP_TO_THE_PIVOT))]
ROUTES = {"out": WAY_OUT, "back": WAY_BACK}


class Abort(Interrupt):
    """What dramatiq-abort raises in the thread of a message that somebody aborts."""


INTERRUPTS: tuple[type[Interrupt], ...] = (Shutdown, TimeLimitExceeded, Abort)


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_moment_of_a_step_costs_time_only(
    stories: Database, ground: Settings, step: str
) -> None:
    for moment in count():
        play = before(stories, ground, Forward(step))
        if not killed(play, moment):
            break
        end(play, RunStatus.SUCCEEDED)

    assert moment >= 4, "before and after the claim, and before and after the record"


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_cancel_after_a_worker_was_killed_at_any_moment_undoes_the_step(
    stories: Database, ground: Settings, step: str
) -> None:
    for moment in count():
        play = before(stories, ground, Forward(step))
        if not killed(play, moment):
            break
        live = bool(play.live_runs())
        cancel(play)
        end(play, RunStatus.CANCELLED if live else RunStatus.SUCCEEDED)

    assert moment >= 4


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_worker_killed_at_any_moment_of_an_undo_costs_time_only(
    stories: Database, ground: Settings, step: str
) -> None:
    for moment in count():
        play = before(stories, ground, Backward(step))
        if not killed(play, moment):
            break
        end(play, RunStatus.CANCELLED)

    assert moment >= 4


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_an_answer_to_a_commit_that_is_lost_costs_time_only(
    stories: Database, ground: Settings, move: Forward | Backward
) -> None:
    for transaction in count():
        play = before(stories, ground, move)
        play.nemesis.strikes[:] = [*[None] * transaction, Strike.LOST_REPLY]
        play.take(0)
        if play.nemesis.strikes:
            break
        end(play, RunStatus.CANCELLED if isinstance(move, Backward) else RunStatus.SUCCEEDED)

    assert transaction >= 2, "a claim and a record"


if FULL:
    # It takes minutes; a selection is below.
    @pytest.mark.parametrize("kind", INTERRUPTS)
    @pytest.mark.parametrize("route", ROUTES)
    def test_an_interrupt_at_any_line_of_any_step_costs_time_only(
        stories: Database, ground: Settings, route: str, kind: type[Interrupt], record_property: RecordProperty
    ) -> None:
        struck: list[str] = []
        for line in count():
            lightnings = [LineInterrupts(kind(), line, RUNNER) for _ in ROUTES[route]]
            if not (places := strike(stories, ground, ROUTES[route], lightnings)):
                break
            struck += places

        assert line >= 15, "the runner has more lines than that"
        record_property("figure", f"{kind.__name__}, {route}: {len(struck)} strikes at {len(set(struck))} lines")


@pytest.mark.parametrize("files", [EVERYTHING if FULL else RUNNER], ids=lambda files: f"{len(files)} files")
@pytest.mark.parametrize("route", ROUTES)
def test_an_interrupt_at_any_line_costs_time_only(
    stories: Database, ground: Settings, route: str, files: tuple[str, ...], record_property: RecordProperty
) -> None:
    """The engine does not know one step from another, so the lines are shared out among the steps."""
    moves = ROUTES[route]
    struck: list[str] = []
    for first in count(step=len(moves)):
        lines = range(first, first + len(moves))
        lightnings = [LineInterrupts(INTERRUPTS[line % len(INTERRUPTS)](), line, files) for line in lines]
        if not (places := strike(stories, ground, moves, lightnings)):
            break
        struck += places

    assert len(struck) >= 15, "the runner has more lines than that"
    record_property("figure", f"{route}, {len(files)} files: {len(struck)} strikes at {len(set(struck))} lines")


@pytest.mark.parametrize("move", [Forward("deploy_workloads"), Backward("deploy_workloads")], ids=str)
def test_a_step_that_kills_every_worker_is_given_up_on(
    stories: Database, ground: Settings, move: Forward | Backward
) -> None:
    play = before(stories, ground, move)

    die_of(play, move)

    assert {run.status for run in play.live_runs()} <= {RunStatus.STUCK, RunStatus.COMPENSATING}
    play.resume_undo(play.tenants[0], play.people[0], skip=False)
    end(play, RunStatus.FAILED if isinstance(move, Forward) else RunStatus.CANCELLED)


def before(database: Database, settings: Settings, move: Forward | Backward) -> Simulation:
    """A run that is ready for this move. An undo is of a step that did everything but record it."""
    play = Simulation(database, settings)
    play.create("shop", start=True, by=play.people[0])
    play.play_until(Forward(move.step))
    if isinstance(move, Backward):
        owner = play.take(0, breaths=0)
        while owner.where != "before record":
            play.go_on(owner, breaths=0)
        play.kill(owner)
        play.lapse()
        cancel(play)
        play.play_until(move)
    return play


def cancel(play: Simulation) -> None:
    play.cancel(play.tenants[0], play.people[0], heard=False)


def killed(play: Simulation, moment: int) -> bool:
    """Kill whoever makes the next move at its n-th moment; False when it has no such moment. Its wake-ups are lost."""
    owner = play.take(0, breaths=moment)
    if owner.over:
        return False
    play.kill(owner)
    play.messages.clear()
    play.lapse()
    return True


def strike(database: Database, settings: Settings, moves: Route, lightnings: Sequence[LineInterrupts]) -> list[str]:
    """Interrupt each of these moves of one tenant at a line of its own and see it end right; where it struck."""
    play = before(database, settings, moves[0])
    struck = []
    for move, lightning in zip(moves, lightnings, strict=True):
        bring_run_to(play, move)
        interrupt(play, lightning)
        if lightning.struck is not None:
            struck.append(lightning.struck)
    play.end()
    *earlier, last = (run.status for run in play.checker.runs.values())
    assert last is (RunStatus.CANCELLED if moves is WAY_BACK else RunStatus.SUCCEEDED), f"struck at {struck}"
    assert set(earlier) <= {RunStatus.FAILED}, f"struck at {struck}"
    return struck


def bring_run_to(play: Simulation, move: Forward | Backward) -> None:
    """Play until this move is the next. The validation has one attempt: when that was interrupted, somebody retries."""
    if move == WAY_OUT[1]:
        while play.anything_to_do() and play.messages[0].move != move:
            play.take(0)
        if not play.messages:
            play.manage("retry", play.tenants[0], play.people[0])
    play.play_until(move)


def interrupt(play: Simulation, lightning: LineInterrupts) -> None:
    """Strike the next move. Its wake-ups are lost, and its lease lapses."""
    play.around = lightning.strikes
    owner = play.take(0)
    play.around = play.calm
    play.messages.clear()
    play.lapse()
    play.beat(owner)
    where = f"{lightning.error!r} at {lightning.struck}"
    assert not owner.live.all_steps(), f"{where}: the lease of a move that is over is renewed"
    play.check()


def end(play: Simulation, status: RunStatus | set[RunStatus], why: str = "") -> None:
    play.end()
    [run] = play.checker.runs.values()
    assert run.status in (status if isinstance(status, set) else {status}), (why, run.status, run.error)


def die_of(play: Simulation, move: Forward | Backward) -> None:
    """Kill whoever makes this move, as long as somebody tries."""
    for _ in range(20):
        play.lapse()
        play.wait()
        play.sweep()
        if not play.messages or play.messages[0].move != move:
            return
        owner = play.take(0, breaths=2)
        if not owner.over:
            play.kill(owner)
        play.messages.clear()
    raise AssertionError(f"V13: {move} is tried for ever")
