"""A halt stops exactly the failpoints that it names."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conformance.field.failpoint_controller import FailpointController, until
from tests.conformance.field.failpoints import Answers, Failpoint

RUN, OTHER = "run", "another run"
STEP = "deploy_workloads"


@pytest.fixture
def controller() -> Iterator[FailpointController]:
    controller = FailpointController()
    yield controller
    controller.clear()


@pytest.fixture
def processes(controller: FailpointController) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask the controller. Every halt is released before the threads are joined."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
        controller.clear()


def test_a_halt_of_an_undo_does_not_stop_a_stale_forward_message(controller: FailpointController) -> None:
    halt = controller.halt_at("before claim", run_id=RUN, step=STEP, backward=True)

    assert _answers(controller, Failpoint(1, "before claim", RUN, step=STEP)) == [Answers.GO]
    assert not halt.failpoints


def test_a_halt_of_a_step_does_not_stop_the_message_of_its_undo(controller: FailpointController) -> None:
    halt = controller.halt_at("before claim", run_id=RUN, step=STEP)

    assert _answers(controller, Failpoint(1, "before claim", RUN, step=STEP, backward=True)) == [Answers.GO]
    assert not halt.failpoints


@pytest.mark.parametrize(
    "failpoint",
    [
        Failpoint(1, "before claim", OTHER, step=STEP),
        Failpoint(1, "before claim", RUN, step="allocate_storage"),
        Failpoint(1, "after empty claim", RUN, step=STEP),
    ],
    ids=["another run", "another step", "another place"],
)
def test_a_halt_does_not_stop_other_failpoints(controller: FailpointController, failpoint: Failpoint) -> None:
    halt = controller.halt_at("before claim", run_id=RUN, step=STEP)

    assert _answers(controller, failpoint) == [Answers.GO]
    assert not halt.failpoints


def test_a_duplicate_message_halts_with_the_first(
    controller: FailpointController, processes: ThreadPoolExecutor
) -> None:
    halt = controller.halt_at("before claim", run_id=RUN, step=STEP)
    message = Failpoint(1, "before claim", RUN, step=STEP)

    first, second = (_arrive(processes, controller, message) for _ in range(2))
    until(lambda: controller.seen["before claim"] == 2, "both messages arrive")

    assert not first.done()
    assert not second.done()
    assert halt.failpoints == [message]
    halt.release()
    assert [first.result(), second.result()] == [[Answers.GO]] * 2


def test_the_next_attempt_passes_a_halt_of_one_attempt(
    controller: FailpointController, processes: ThreadPoolExecutor
) -> None:
    halt = controller.halt_at("before deployer.deploy", run_id=RUN)
    halted = _arrive(processes, controller, Failpoint(1, "before deployer.deploy", RUN, step=STEP, attempt=1))
    halt.await_first()

    assert _answers(controller, Failpoint(2, "before deployer.deploy", RUN, step=STEP, attempt=2)) == [Answers.GO]

    halt.release(Answers.REFUSE)
    assert halted.result() == [Answers.REFUSE]


def test_restricting_a_halt_to_a_run_releases_other_runs(
    controller: FailpointController, processes: ThreadPoolExecutor
) -> None:
    halt = controller.halt_at("before claim", times=1000)
    foreign = _arrive(processes, controller, Failpoint(1, "before claim", OTHER, step=STEP))
    meant = _arrive(processes, controller, Failpoint(1, "before claim", RUN, step=STEP))
    until(lambda: len(halt.failpoints) == 2, "both arrive")

    halt.restrict_to(RUN)

    assert foreign.result() == [Answers.GO]
    assert halt.await_first().run_id == RUN
    assert not meant.done()


def test_a_message_released_by_one_halt_stops_at_the_next(
    controller: FailpointController, processes: ThreadPoolExecutor
) -> None:
    first, own = (controller.halt_at("before claim", times=1000) for _ in range(2))
    message = _arrive(processes, controller, Failpoint(1, "before claim", RUN, step=STEP))
    first.await_first()

    first.restrict_to(OTHER)

    own.await_first()
    assert not message.done()


def _arrive(
    processes: ThreadPoolExecutor, controller: FailpointController, failpoint: Failpoint
) -> "Future[list[str]]":
    return processes.submit(_answers, controller, failpoint)


def _answers(controller: FailpointController, failpoint: Failpoint) -> list[str]:
    return list(controller.answers(failpoint))
