"""A run ends correctly at whatever failpoint or line of a step or undo its worker ends."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import pytest
from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded

from models import RunStatus
from provisioning.moves import Backward, Forward
from runtime.database import Database
from runtime.settings import Settings
from tests.conformance.line_interrupts import ALL_FILES, RUNNER_FILES, LineInterrupts
from tests.conformance.nemesis import TransactionFault
from tests.conformance.scale import FULL
from tests.conformance.simulation import Simulation
from tests.conformance.virtual_waits import POLLS
from tests.conformance.virtual_worker import VirtualWorker
from tests.tenant_states import MAIL, PIVOT, UP_TO_THE_PIVOT

RecordProperty = Callable[[str, object], None]

COMPENSATED_STEPS = UP_TO_THE_PIVOT if FULL else ["deploy_workloads"]
BEGINS_KEPT_UNDO = Backward("apply_schema")
"""The undo of an earlier step waits, and then goes on with another message."""
STEPS = [*UP_TO_THE_PIVOT, MAIL] if FULL else [PIVOT, "await_readiness"]
WAITING_MOVES: list[Forward | Backward] = [Forward("await_readiness"), Backward("deploy_workloads")]
"""A worker keeps them: their first poll does not reach the goal."""
MOVES: list[Forward | Backward] = (
    [*map(Forward, [*UP_TO_THE_PIVOT, MAIL]), *map(Backward, UP_TO_THE_PIVOT)]
    if FULL
    else [Forward("validate_request"), Backward("allocate_storage"), *WAITING_MOVES]
)

Moves = Sequence[Forward | Backward]
FORWARD_MOVES: Moves = [*map(Forward, [*UP_TO_THE_PIVOT, MAIL])]
UNDO_MOVES: Moves = [*map(Backward, reversed(UP_TO_THE_PIVOT))]
DIRECTIONS = {"forward": FORWARD_MOVES, "undo": UNDO_MOVES}


class Abort(Interrupt):
    """The interrupt that dramatiq-abort raises in the thread of an aborted message."""


INTERRUPTS: tuple[type[Interrupt], ...] = (Shutdown, TimeLimitExceeded, Abort)


@contextmanager
def kept(move: Forward | Backward) -> Iterator[None]:
    """Check that workers keep the waits of this move, and poll them, during the block."""
    before = Counter(POLLS)
    yield
    direction, new = type(move).__name__.lower(), Counter(POLLS) - before
    if move in WAITING_MOVES:
        assert new[f"kept {direction}"] >= 2, new
        assert new[f"polled {direction}"] >= 2, new


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_failpoint_of_a_step_only_delays_the_run(
    simulation_database: Database, simulation_settings: Settings, step: str
) -> None:
    with kept(Forward(step)):
        for failpoint in count():
            simulation = prepared(simulation_database, simulation_settings, Forward(step))
            if not kill_next_move(simulation, failpoint):
                break
            expect_end(simulation, RunStatus.SUCCEEDED)

    assert failpoint >= 4, "a move has at least 4 failpoints: before and after the claim and the record"


@pytest.mark.parametrize("step", COMPENSATED_STEPS)
def test_a_cancel_after_a_worker_was_killed_at_any_failpoint_undoes_the_step(
    simulation_database: Database, simulation_settings: Settings, step: str
) -> None:
    for failpoint in count():
        simulation = prepared(simulation_database, simulation_settings, Forward(step))
        if not kill_next_move(simulation, failpoint):
            break
        live = bool(simulation.live_runs())
        cancel(simulation)
        expect_end(simulation, RunStatus.CANCELLED if live else RunStatus.SUCCEEDED)

    assert failpoint >= 4


@pytest.mark.parametrize("step", COMPENSATED_STEPS)
def test_a_worker_killed_at_any_failpoint_of_an_undo_only_delays_the_run(
    simulation_database: Database, simulation_settings: Settings, step: str
) -> None:
    with kept(Backward(step)):
        for failpoint in count():
            simulation = prepared(simulation_database, simulation_settings, Backward(step))
            if not kill_next_move(simulation, failpoint):
                break
            expect_end(simulation, RunStatus.CANCELLED)

    assert failpoint >= 4


@pytest.mark.parametrize("cancelled", [False, True], ids=["forward", "undo"])
def test_a_worker_killed_at_any_failpoint_of_a_kept_run_only_delays_it(
    simulation_database: Database,
    simulation_settings: Settings,
    cancelled: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    """A crash between any two statements of a run that its worker keeps from its first step to its last."""
    move = BEGINS_KEPT_UNDO if cancelled else Forward(UP_TO_THE_PIVOT[0])
    for failpoint in count(step=1 if FULL else 5):
        simulation = prepared(simulation_database, simulation_settings, move)
        simulation.keep_for = 60.0
        if not kill_next_move(simulation, failpoint):
            break
        expect_end(simulation, RunStatus.CANCELLED if cancelled else RunStatus.SUCCEEDED)

    assert failpoint >= 10, "a kept run has failpoints in each of its steps"


@pytest.mark.parametrize("cancelled", [False, True], ids=["forward", "undo"])
def test_a_lost_reply_to_any_statement_of_a_kept_run_only_delays_it(
    simulation_database: Database,
    simulation_settings: Settings,
    cancelled: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    move = BEGINS_KEPT_UNDO if cancelled else Forward(UP_TO_THE_PIVOT[0])
    for statement in count(step=1 if FULL else 3):
        simulation = prepared(simulation_database, simulation_settings, move)
        simulation.keep_for = 60.0
        simulation.nemesis.faults[:] = [*[None] * statement, TransactionFault.LOST_REPLY]
        simulation.deliver(0)
        if simulation.nemesis.faults:
            break
        expect_end(simulation, RunStatus.CANCELLED if cancelled else RunStatus.SUCCEEDED)

    assert statement >= 5, "a kept run has a statement for each of its steps"


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_lost_reply_to_a_commit_only_delays_the_run(
    simulation_database: Database, simulation_settings: Settings, move: Forward | Backward
) -> None:
    with kept(move):
        for transaction in count():
            simulation = prepared(simulation_database, simulation_settings, move)
            simulation.nemesis.faults[:] = [*[None] * transaction, TransactionFault.LOST_REPLY]
            make_next_move(simulation)
            if simulation.nemesis.faults:
                break
            expect_end(simulation, RunStatus.CANCELLED if isinstance(move, Backward) else RunStatus.SUCCEEDED)

    assert transaction >= 2, "a move has at least 2 transactions: the claim and the record"


if FULL:
    # This takes minutes; the test below is a selection.
    @pytest.mark.parametrize("kind", INTERRUPTS)
    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_an_interrupt_at_any_line_of_any_step_only_delays_the_run(
        simulation_database: Database,
        simulation_settings: Settings,
        direction: str,
        kind: type[Interrupt],
        record_property: RecordProperty,
    ) -> None:
        raised: list[str] = []
        for line in count():
            interrupts = [LineInterrupts(kind(), line, RUNNER_FILES) for _ in DIRECTIONS[direction]]
            if not (
                places := interrupt_each_move(
                    simulation_database, simulation_settings, DIRECTIONS[direction], interrupts
                )
            ):
                break
            raised += places

        assert line >= 15, "the step runner has at least 15 lines"
        record_property("figure", f"{kind.__name__}, {direction}: {len(raised)} interrupts at {len(set(raised))} lines")


@pytest.mark.parametrize("files", [ALL_FILES if FULL else RUNNER_FILES], ids=lambda files: f"{len(files)} files")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_interrupt_at_any_line_only_delays_the_run(
    simulation_database: Database,
    simulation_settings: Settings,
    direction: str,
    files: tuple[str, ...],
    record_property: RecordProperty,
) -> None:
    """The engine treats all steps alike, so the lines are distributed over the steps."""
    moves = DIRECTIONS[direction]
    raised: list[str] = []
    for first in count(step=len(moves)):
        lines = range(first, first + len(moves))
        interrupts = [LineInterrupts(INTERRUPTS[line % len(INTERRUPTS)](), line, files) for line in lines]
        if not (places := interrupt_each_move(simulation_database, simulation_settings, moves, interrupts)):
            break
        raised += places

    assert len(raised) >= 15, "the step runner has at least 15 lines"
    record_property("figure", f"{direction}, {len(files)} files: {len(raised)} interrupts at {len(set(raised))} lines")


@pytest.mark.parametrize("move", WAITING_MOVES, ids=str)
def test_an_interrupt_at_any_line_of_keeping_a_wait_only_delays_the_run(
    simulation_database: Database,
    simulation_settings: Settings,
    move: Forward | Backward,
    record_property: RecordProperty,
) -> None:
    raised: list[str] = []
    with kept(move):
        for line in count():
            simulation = prepared(simulation_database, simulation_settings, move)
            error = INTERRUPTS[line % len(INTERRUPTS)]()
            interrupt = LineInterrupts(error, line, RUNNER_FILES, within="_keep_waiting")
            interrupt_next_move(simulation, interrupt)
            if interrupt.raised_at is None:
                break
            raised.append(interrupt.raised_at)
            expect_end(simulation, RunStatus.CANCELLED if isinstance(move, Backward) else RunStatus.SUCCEEDED)

    lines = {place for place in raised if place.startswith("kept_waits.py")}
    assert len(lines) >= 10, f"a wait is kept by at least 10 lines of its module, not {sorted(lines)}"
    record_property("figure", f"{move}: {len(raised)} interrupts at {len(set(raised))} lines")


@pytest.mark.parametrize("move", WAITING_MOVES, ids=str)
def test_an_error_at_any_line_of_a_poll_only_delays_the_run(
    simulation_database: Database,
    simulation_settings: Settings,
    move: Forward | Backward,
    record_property: RecordProperty,
) -> None:
    """The error is a SystemExit of a step. Dramatiq interrupts its own threads only, not those of polls."""
    raised: list[str] = []
    with kept(move):
        for line in count():
            simulation = prepared(simulation_database, simulation_settings, move)
            error = LineInterrupts(SystemExit(), line, RUNNER_FILES, within="_poll")
            simulation.poll_context = error.active
            end_interrupted_move(simulation, error)
            if error.raised_at is None:
                break
            raised.append(error.raised_at)
            expect_end(simulation, RunStatus.CANCELLED if isinstance(move, Backward) else RunStatus.SUCCEEDED)

    assert len(raised) >= 10, f"a poll has at least 10 lines, not {raised}"
    record_property("figure", f"{move}: {len(raised)} errors at {len(set(raised))} lines")


@pytest.mark.parametrize("move", [Forward("deploy_workloads"), Backward("deploy_workloads")], ids=str)
def test_a_step_that_kills_every_worker_is_given_up(
    simulation_database: Database, simulation_settings: Settings, move: Forward | Backward
) -> None:
    simulation = prepared(simulation_database, simulation_settings, move)

    kill_every_attempt(simulation, move)

    assert {run.status for run in simulation.live_runs()} <= {RunStatus.STUCK, RunStatus.COMPENSATING}
    simulation.resume_undo(simulation.tenants[0], simulation.operators[0], skip=False)
    expect_end(simulation, RunStatus.FAILED if isinstance(move, Forward) else RunStatus.CANCELLED)


def prepared(database: Database, settings: Settings, move: Forward | Backward) -> Simulation:
    """A run that is ready for this move. For an undo, the step did its work, but its result is not recorded."""
    simulation = Simulation(database, settings)
    simulation.create("shop", start=True, by=simulation.operators[0])
    simulation.deliver_until(Forward(move.step))
    if isinstance(move, Backward):
        worker = simulation.deliver(0, failpoints=0)
        while worker.where != "before record":
            simulation.resume(worker, failpoints=0)
        simulation.kill(worker)
        simulation.expire_leases()
        cancel(simulation)
        simulation.deliver_until(move)
    return simulation


def cancel(simulation: Simulation) -> None:
    simulation.cancel(simulation.tenants[0], simulation.operators[0], notify=False)


def make_next_move(simulation: Simulation) -> VirtualWorker:
    """Deliver the next message, and let its worker poll what it keeps until that has ended."""
    worker = simulation.deliver(0)
    if not worker.ended:
        simulation.poll(worker)
    return worker


def kill_next_move(simulation: Simulation, failpoint: int) -> bool:
    """Kill the worker of the next move at its n-th failpoint and lose its wake-ups.

    False if the move has no such failpoint.
    """
    worker = simulation.deliver(0, failpoints=failpoint)
    while worker.waits and worker.failpoints_left:
        simulation.resume(worker, worker.failpoints_left - 1)
    if worker.ended:
        return False
    simulation.kill(worker)
    simulation.messages.clear()
    simulation.expire_leases()
    return True


def interrupt_each_move(
    database: Database, settings: Settings, moves: Moves, interrupts: Sequence[LineInterrupts]
) -> list[str]:
    """Interrupt each of these moves of one tenant at its own line, and check the end; returns the lines."""
    simulation = prepared(database, settings, moves[0])
    places = []
    for move, interrupt in zip(moves, interrupts, strict=True):
        deliver_up_to(simulation, move)
        interrupt_next_move(simulation, interrupt)
        if interrupt.raised_at is not None:
            places.append(interrupt.raised_at)
    simulation.finish()
    runs = simulation.checker.runs.values()
    *earlier, last = (run.status for run in runs)
    where = f"interrupted at {places}: {[(run.number, run.status, run.failed_step, run.error) for run in runs]}"
    assert last is (RunStatus.CANCELLED if moves is UNDO_MOVES else RunStatus.SUCCEEDED), where
    assert set(earlier) <= {RunStatus.FAILED}, where
    return places


def deliver_up_to(simulation: Simulation, move: Forward | Backward) -> None:
    """Deliver messages until this move is the next.

    The validation has one attempt: if that was interrupted, the run fails and is retried.
    """
    if move == FORWARD_MOVES[1]:
        while simulation.has_work() and simulation.messages[0].move != move:
            simulation.deliver(0)
        if not simulation.messages:
            simulation.manage("retry", simulation.tenants[0], simulation.operators[0])
    simulation.deliver_until(move)


def interrupt_next_move(simulation: Simulation, interrupt: LineInterrupts) -> None:
    """Interrupt the next move, lose its wake-ups and expire its lease."""
    simulation.move_context = interrupt.active
    end_interrupted_move(simulation, interrupt)


def end_interrupted_move(simulation: Simulation, interrupt: LineInterrupts) -> None:
    """Make the next move with its polls, and find that no lease is left over."""
    worker = make_next_move(simulation)
    simulation.move_context = simulation.poll_context = simulation.uninterrupted
    simulation.messages.clear()
    simulation.expire_leases()
    simulation.renew_lease(worker)
    where = f"{interrupt.error!r} at {interrupt.raised_at}"
    assert not worker.running_steps.all_steps(), f"{where}: the lease of an ended move is still renewed"
    simulation.check()


def expect_end(simulation: Simulation, status: RunStatus | set[RunStatus], why: str = "") -> None:
    simulation.finish()
    [run] = simulation.checker.runs.values()
    assert run.status in (status if isinstance(status, set) else {status}), (why, run.status, run.error)


def kill_every_attempt(simulation: Simulation, move: Forward | Backward) -> None:
    """Kill every worker that makes this move, until no message for it comes. Raises AssertionError after 20 workers."""
    for _ in range(20):
        simulation.expire_leases()
        simulation.end_waits()
        simulation.sweep()
        if not simulation.messages or simulation.messages[0].move != move:
            return
        worker = simulation.deliver(0, failpoints=2)
        if not worker.ended:
            simulation.kill(worker)
        simulation.messages.clear()
    raise AssertionError(f"V13: {move} is attempted without end")
