"""At whatever moment a worker ends, in whatever step and direction: the run ends right, once, and nothing is held."""

import logging
from collections.abc import Iterator
from itertools import count

import pytest
from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded

from models import RunStatus
from provisioning.moves import Backward, Forward
from runtime.database import Database
from runtime.settings import Settings
from tests.conformance.effort import FULL
from tests.conformance.lightning import EVERYTHING, RUNNER, Lightning
from tests.conformance.nemesis import Strike
from tests.conformance.simulation import Simulation
from tests.scenes import MAIL, PIVOT, UP_TO_THE_PIVOT

UNDOABLE = UP_TO_THE_PIVOT if FULL else ["deploy_workloads"]
STEPS = [*UP_TO_THE_PIVOT, MAIL] if FULL else [PIVOT]
MOVES: list[Forward | Backward] = (
    [*map(Forward, [*UP_TO_THE_PIVOT, MAIL]), *map(Backward, UP_TO_THE_PIVOT)]
    if FULL
    else [Forward("validate_request"), Backward("allocate_storage")]
)
BY_LINE: list[tuple[Forward | Backward, tuple[str, ...]]] = [(move, RUNNER) for move in MOVES]
if FULL:
    # The engine does not know one step from another, so two moves stand for all.
    BY_LINE += [(Forward("allocate_identity"), EVERYTHING), (Backward("allocate_identity"), EVERYTHING)]


class Abort(Interrupt):
    """What dramatiq-abort raises in the thread of a message that somebody aborts."""


INTERRUPTS: tuple[type[Interrupt], ...] = (Shutdown, TimeLimitExceeded, Abort)


@pytest.fixture(scope="module")
def database(ground: Settings) -> Iterator[Database]:
    logging.disable(logging.ERROR)
    database = Database(ground, name="tenantry-exhaustive")
    yield database
    database.close()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_moment_of_a_step_costs_time_only(
    database: Database, ground: Settings, step: str
) -> None:
    for moment in count():
        play = before(database, ground, Forward(step))
        if not killed(play, moment):
            break
        end(play, RunStatus.SUCCEEDED)

    assert moment >= 4, "before and after the claim, and before and after the record"


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_cancel_after_a_worker_was_killed_at_any_moment_undoes_the_step(
    database: Database, ground: Settings, step: str
) -> None:
    for moment in count():
        play = before(database, ground, Forward(step))
        if not killed(play, moment):
            break
        live = bool(play.live_runs())
        cancel(play)
        end(play, RunStatus.CANCELLED if live else RunStatus.SUCCEEDED)

    assert moment >= 4


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_worker_killed_at_any_moment_of_an_undo_costs_time_only(
    database: Database, ground: Settings, step: str
) -> None:
    for moment in count():
        play = before(database, ground, Backward(step))
        if not killed(play, moment):
            break
        end(play, RunStatus.CANCELLED)

    assert moment >= 4


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_an_answer_to_a_commit_that_is_lost_costs_time_only(
    database: Database, ground: Settings, move: Forward | Backward
) -> None:
    for transaction in count():
        play = before(database, ground, move)
        play.nemesis.strikes[:] = [*[None] * transaction, Strike.LOST_REPLY]
        play.take(0)
        if play.nemesis.strikes:
            break
        end(play, RunStatus.CANCELLED if isinstance(move, Backward) else RunStatus.SUCCEEDED)

    assert transaction >= 2, "a claim and a record"


@pytest.mark.parametrize(
    ("move", "files"), BY_LINE, ids=lambda one: f"{len(one)} files" if isinstance(one, tuple) else str(one)
)
def test_an_interrupt_at_any_line_costs_time_only(
    database: Database, ground: Settings, move: Forward | Backward, files: tuple[str, ...]
) -> None:
    for line in count():
        every = FULL and files is RUNNER
        kinds = INTERRUPTS if every else (INTERRUPTS[line % len(INTERRUPTS)],)
        if not all(struck(database, ground, move, Lightning(kind(), line, files)) for kind in kinds):
            break

    assert line >= 15, "the runner has more lines than that"


@pytest.mark.parametrize("move", [Forward("deploy_workloads"), Backward("deploy_workloads")], ids=str)
def test_a_step_that_kills_every_worker_is_given_up_on(
    database: Database, ground: Settings, move: Forward | Backward
) -> None:
    play = before(database, ground, move)

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


def struck(database: Database, settings: Settings, move: Forward | Backward, lightning: Lightning) -> bool:
    """Interrupt this move at one of its lines and see the run end right; False when it has no such line."""
    play = before(database, settings, move)
    play.around = lightning.strikes
    owner = play.take(0)
    play.around = play.calm
    where = f"{lightning.error!r} at {lightning.struck}"
    play.messages.clear()

    play.lapse()
    play.beat(owner)
    assert not owner.live.everything(), f"{where}: the lease of a move that is over is renewed"
    end(play, right_end(move, lightning.error), where)
    return lightning.struck is not None


def right_end(move: Forward | Backward, interrupt: BaseException) -> set[RunStatus]:
    if isinstance(move, Backward):
        return {RunStatus.CANCELLED}
    if move.step == "validate_request" and not isinstance(interrupt, Shutdown):
        return {RunStatus.SUCCEEDED, RunStatus.FAILED}  # it has one attempt only, and may have been in it
    return {RunStatus.SUCCEEDED}


def end(play: Simulation, status: RunStatus | set[RunStatus], why: str = "") -> None:
    play.end()
    [run] = play.chronicle.runs.values()
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
